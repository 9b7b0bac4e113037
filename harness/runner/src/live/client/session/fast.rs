//! Clients whose clock is fast: whether there can be any, and which cases run on them.

use core::time::Duration;
use std::rc::Rc;

use mqttspec_judge::Case;
use mqttspec_judge::verdict::Verdict;

use super::super::backend::{Run, perform};
use super::super::fast_clock::FastClock;
use super::super::peer::Stopped;
use super::super::pool::Pool;
use super::super::process::AdapterError;
use super::super::silent::leave_out;
use super::Context;
use crate::live::schedule::{self, Limits};
use crate::live::target_clock::LibraryError;
use crate::suite::{Selection, Source, plan};

/// A case whose waits are together at least this long runs on clients with a fast clock.
const WORTH_A_CLOCK: Duration = Duration::from_secs(2);

/// How much longer `nothing` is expected of such a client, in its time.
const LONGER_SILENCE: u32 = 5;

/// Why all cases run in real time.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoFastClock {
    #[error(transparent)]
    Library(#[from] LibraryError),
    #[error("with libfaketime, {0}")]
    Adapter(AdapterError),
    #[error(
        "libfaketime has no effect on the client, or the client ignores its Keep Alive: with Keep Alive 10 it \
         sent no PINGREQ in the time of its clock. Programs that are linked statically or ask the system \
         directly for the time cannot be accelerated, such as those in Go"
    )]
    NoEffect,
}

impl Context {
    /// The case for a client whose clock is fast: its waits may be longer.
    pub(super) fn place_fast(&self, case: &Case, limits: Limits) -> Option<(Case, Duration)> {
        let clock = self.fast.as_ref()?.clock.as_ref()?;
        let wait = limits.wait.map(|wait| wait * clock.speed);
        let silence = limits.silence.saturating_mul(LONGER_SILENCE);
        let limits = Limits { wait, silence, ..limits };
        let mut scheduled = schedule::live(&case.scenario, case.version, limits).ok()?;
        leave_out(&mut scheduled.scenario, &self.hello.silent).ok()?;
        let waits = scheduled.waits + scheduled.within;
        let case = Case { scenario: scheduled.scenario.into(), ..case.clone() };
        (waits >= WORTH_A_CLOCK).then_some((case, waits))
    }

    /// Processes whose clock runs at this speed, if that has an effect on the client.
    pub(super) async fn fast_pool(&self, speed: u32) -> Result<Rc<Pool>, NoFastClock> {
        let clock = FastClock::new(speed)?;
        let mut started = Pool::start(&self.options.command, Some(clock.clone())).await;
        if started.is_err() {
            // With the library, node once did not answer in time.
            started = Pool::start(&self.options.command, Some(clock)).await;
        }
        let pool = Rc::new(started.map_err(|(error, _)| NoFastClock::Adapter(error))?.0);
        let text = "title    A silent client pings\n\
            clauses  [3.1.1] MQTT-3.1.0-1 [5] MQTT-3.1.0-1\nversions 3.1.1 5\ntests    client\n\n\
            ask device connect clean_start keep_alive=10\ndevice > CONNECT\ndevice < CONNACK\n\
            within 10s device > PINGREQ shows all\n";
        let source = Source { file: "pings.mqtt".to_owned(), text: text.to_owned() };
        let mut cases = plan(&[source], &Selection::default()).cases;
        cases.retain(|case| self.hello.versions.contains(&case.version.to_string()));
        for case in cases {
            let environment = self.environment(&pool, Duration::from_secs(10));
            let Run { performed, stopped, tolerance, .. } = perform(&case, 0, environment).await;
            match stopped {
                Some(Stopped::Broken(error)) => return Err(NoFastClock::Adapter(error)),
                Some(Stopped::Unsupported(_)) => continue,
                None => {}
            }
            let (run, _) = self.judge_executed(&case, 0, performed, tolerance);
            if run.verdict != Verdict::Pass {
                return Err(NoFastClock::NoEffect);
            }
        }
        Ok(pool)
    }

    /// How much faster than real time the clocks of clients may run.
    pub(super) fn speed(&self) -> u32 {
        self.fast.as_ref().and_then(|pool| pool.clock.as_ref()).map_or(1, |clock| clock.speed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_for_real_time() {
        let reasons = [
            NoFastClock::Library(LibraryError::NotInstalled),
            NoFastClock::Adapter(AdapterError::Ended("exit status: 1".to_owned())),
            NoFastClock::NoEffect,
        ];
        let lines: Vec<String> = reasons.iter().map(ToString::to_string).collect();
        insta::assert_snapshot!(lines.join("\n"), @r"
        libfaketime is not installed: on Debian, apt-get install libfaketime; elsewhere, MQTTSPEC_LIBFAKETIME names the file
        with libfaketime, the adapter ended (exit status: 1)
        libfaketime has no effect on the client, or the client ignores its Keep Alive: with Keep Alive 10 it sent no PINGREQ in the time of its clock. Programs that are linked statically or ask the system directly for the time cannot be accelerated, such as those in Go
        ");
    }
}
