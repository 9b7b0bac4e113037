//! Cases that run alone, and a server that ended or no longer serves.

use core::time::Duration;

use tokio::time::Instant;

use super::super::Progress;
use super::super::case_run::{ENDING, Outcome, broken, out_of_time, patient, run_case};
use super::{GiveUp, LISTED, Session};

/// How long the session waits for a server that it cannot start itself.
const RECOVERY_TIMEOUT: Duration = Duration::from_secs(10);

impl Session<'_> {
    /// Runs a case while no other case runs. Its outcome counts.
    pub(super) async fn run_exclusively(&mut self, index: usize, progress: &mut dyn FnMut(Progress<'_>)) {
        if let Some((reason, suspects)) = &self.server_lost {
            let lost = Outcome::of(index, broken(reason.clone(), self.context.seed));
            let lost = if suspects.contains(&index) { lost } else { lost.not_judged(reason) };
            self.done(lost, progress);
            return;
        }
        let placed = self.placed[index].clone();
        let is_shared = !placed.place.has_own_server();
        let timeouts = self.context.timeouts;
        let mut outcome = run_case(self.context.clone(), index, placed.clone(), timeouts).await;
        if outcome.awaits_retransmission() {
            outcome = run_case(self.context.clone(), index, placed, patient(timeouts)).await;
        }
        // A case that passes may have ended the server too: it may expect a close.
        let lacks = if is_shared { self.context.lacks().await } else { None };
        if let Some(lacks) = outcome.own_lacks.clone() {
            self.notes.push(format!("after {} the server {lacks}", self.names(&[index])));
            outcome.stops_service(&lacks, &lacks);
        } else if let Some(lacks) = lacks {
            tokio::time::sleep(ENDING).await;
            let how = self.how_it_ended(&lacks);
            outcome.stops_service(&lacks, &how);
            self.revive(&lacks, &[index]).await;
        }
        self.done(outcome, progress);
    }

    /// The cases on the shared server that ended after this time.
    pub(super) fn suspects(&self, since: Instant) -> Vec<usize> {
        self.ended.iter().filter(|(_, ended)| *ended >= since).map(|(index, _)| *index).collect()
    }

    pub(super) fn how_it_ended(&self, lacks: &str) -> String {
        let how = self.context.instance.as_ref().and_then(|instance| instance.ended());
        how.map_or_else(|| lacks.to_owned(), |how| format!("ended ({how})"))
    }

    /// Restarts a server that ended or no longer serves, or waits until it serves again.
    pub(super) async fn revive(&mut self, lacks: &str, suspects: &[usize]) {
        let context = self.context.clone();
        let how = self.how_it_ended(lacks);
        let after = self.names(suspects);
        self.notes.push(match suspects {
            [_] => format!("after {after} the server {how}"),
            _ => format!(
                "the server {how}: the {} cases that may be the cause run again, each alone on a server",
                suspects.len()
            ),
        });
        if let Some(instance) =
            context.instance.as_ref().filter(|_| context.starts || context.target_file.kill.is_some())
        {
            let restarted = async {
                instance.crash().await?;
                instance.start().await
            };
            if let Err(error) = restarted.await {
                let reason = format!("the server ended, and cannot be restarted: {error}");
                self.server_lost = Some((reason, suspects.to_vec()));
            }
            return;
        }
        let until = Instant::now() + RECOVERY_TIMEOUT;
        while Instant::now() < until {
            if context.lacks().await.is_none() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        let url = &context.url;
        let reason =
            format!("the server at {url} {how} after {after}, and no command is known that starts it");
        self.server_lost = Some((reason, suspects.to_vec()));
    }

    /// A few names of cases, for people.
    pub(super) fn names(&self, indices: &[usize]) -> String {
        let names = indices.iter().take(LISTED).map(|index| self.placed[*index].case.name());
        let mut text = names.collect::<Vec<_>>().join(", ");
        if let Some(more) = indices.len().checked_sub(LISTED + 1) {
            text.push_str(&format!(" and {} others", more + 1));
        }
        text
    }

    /// Ends a run that was stopped: the cases without a result are not judged.
    pub(super) fn give_up(&mut self, why: GiveUp, progress: &mut dyn FnMut(Progress<'_>)) {
        let left: Vec<usize> =
            (0..self.placed.len()).filter(|index| !self.results.contains_key(index)).collect();
        match why {
            GiveUp::Interrupted => {
                self.notes.push(format!("the run was stopped: {} cases are not judged", left.len()));
            }
            GiveUp::TimeLimit(limit) => self.notes.push(format!(
                "the run was stopped after {limit:?}, its time limit: {} cases did not end",
                left.len()
            )),
        }
        for index in left {
            let outcome = match why {
                GiveUp::Interrupted => Outcome::of(index, broken(String::new(), self.context.seed))
                    .not_judged("the run was stopped before this case ended"),
                // A run that did not end is no success.
                GiveUp::TimeLimit(limit) => Outcome::of(index, broken(out_of_time(limit), self.context.seed)),
            };
            self.done(outcome, progress);
        }
    }
}
