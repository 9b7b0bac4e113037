//! Accelerated time: whether the clock of the target can be put forward, and which cases run on
//! servers with such a clock.

use core::time::Duration;
use std::rc::Rc;

use mqttspec_codec::Version;
use tokio::time::{Instant, sleep, timeout};

use super::fast_time::{FastTime, Overdue};
use super::launcher::{Instance, LaunchError};
use super::probes::Prober;
use super::target_clock::{ClockLibrary, LibraryError};
use super::target_file::TargetFile;
use super::wire::Endpoint;
use mqttspec_judge::Case;
use mqttspec_notation::StepKind;

/// The Keep Alive of the silent Client of the probe, in seconds. The server closes its connection
/// after 1.5 times of it (§3.1.2.10 of 5.0 and 3.1.1).
const KEEP_ALIVE: u16 = 10;

/// The name under which reports have the result of the probe.
pub(crate) const CLOCK_SPEED: &str = "clock_speed";

/// How much of the server's time passes in a step of the probe.
const STEP: Duration = Duration::from_secs(1);

/// The real time of a step of the probe.
const ROUND: Duration = Duration::from_millis(5);

/// How long the server may take in real time when all of its time has passed.
const GRACE: Duration = Duration::from_millis(500);

/// Servers whose clock can be put forward.
#[derive(Clone, Debug)]
pub(crate) struct Acceleration {
    pub(crate) library: ClockLibrary,
    /// The most target time that passes in a real second, in seconds.
    pub(crate) speed: u32,
    /// What the probe has seen, for people.
    pub(crate) seen: String,
}

/// Why all cases run in real time.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoAcceleration {
    #[error(transparent)]
    Library(#[from] LibraryError),
    #[error("mqttspec did not start the server")]
    NotStarted,
    #[error("with {library}, the server does not start: {error}")]
    Launch { library: String, error: LaunchError },
    #[error("with libfaketime, the server does not accept a Client with Keep Alive {KEEP_ALIVE}")]
    Refused,
    #[error(
        "libfaketime has no effect on the server, or the server ignores the Keep Alive: {passed:?} of time \
         were added to its clock, and it did not close the connection of a silent Client with Keep Alive \
         {KEEP_ALIVE}. Programs that are linked statically or ask the system directly for the time cannot \
         be accelerated, such as those in Go"
    )]
    NoEffect { passed: Duration },
}

impl Acceleration {
    /// Starts a server with a clock of its own, and tests whether its timers follow the clock.
    pub(crate) async fn probe(
        target_file: &TargetFile,
        start: Option<&str>,
        prober: &Prober,
        version: Version,
        speed: u32,
    ) -> Result<Self, NoAcceleration> {
        let start = start.ok_or(NoAcceleration::NotStarted)?;
        let library = ClockLibrary::find()?;
        let instance = match Instance::launch(target_file, start, "", Some(&library)).await {
            Ok(instance) => Rc::new(instance),
            Err(error) => {
                return Err(NoAcceleration::Launch { library: library.to_string(), error });
            }
        };
        let endpoint = Endpoint { port: instance.port(), ..prober.endpoint.clone() };
        let prober = Prober { endpoint, ..prober.clone() };
        let time =
            FastTime::of(&instance, prober.clone(), version, speed, prober.patience, Overdue::default());
        let Some(time) = time else { return Err(NoAcceleration::NotStarted) };
        let late = Duration::from_millis(target_file.tolerance.keep_alive_late_ms());
        let seen = closes_silent_client(&prober, &time, version, late).await;
        instance.stop().await;
        Ok(Self { library, speed, seen: seen? })
    }
}

/// What a server does with a silent Client if its clock is put forward beyond the Keep Alive.
async fn closes_silent_client(
    prober: &Prober,
    time: &FastTime,
    version: Version,
    late: Duration,
) -> Result<String, NoAcceleration> {
    let id = format!("{}silent", prober.token);
    let connecting = prober.connect_with_keep_alive(version, &id, KEEP_ALIVE, prober.patience);
    let Some(mut client) = connecting.await else { return Err(NoAcceleration::Refused) };
    let owed = Duration::from_secs(u64::from(KEEP_ALIVE)).mul_f64(1.5);
    let (began, real) = (time.now(), Instant::now());
    let stepping = async {
        while time.now().saturating_sub(began) < owed * 2 + late * 2 {
            sleep(ROUND).await;
            if !time.answers().await || time.advance(STEP).await.is_err() {
                break;
            }
        }
        sleep(GRACE).await;
    };
    let closed = tokio::select! {
        biased;
        () = client.ended() => true,
        () = stepping => timeout(ROUND, client.ended()).await.is_ok(),
    };
    let (passed, real) = (time.now().saturating_sub(began), real.elapsed());
    // A server that closes sooner in real time than any Keep Alive allows does not wait for a clock.
    if !closed || real > Duration::from_secs(u64::from(KEEP_ALIVE)) {
        return Err(NoAcceleration::NoEffect { passed: rounded(passed) });
    }
    Ok(format!(
        "a silent Client with Keep Alive {KEEP_ALIVE} was closed after {:.1} s of the server's time, {:.2} s \
         of real time",
        passed.as_secs_f64(),
        real.as_secs_f64()
    ))
}

/// What a report says about the accelerated cases.
pub(crate) fn acceleration_note(cases: usize, speed: u32) -> String {
    format!(
        "{cases} cases that wait run with the times of their scenario, on servers whose clock is put forward \
         by up to {speed} s in each second of a wait"
    )
}

/// A duration without the digits that no reader needs.
fn rounded(duration: Duration) -> Duration {
    Duration::from_secs(duration.as_secs())
}

/// Whether a case has a load. Its messages are exchanged one by one, so it keeps its live times.
pub(crate) fn has_load(case: &Case) -> bool {
    let mut has = false;
    case.scenario.walk(&mut |step| has |= matches!(step.kind, StepKind::Load(_)));
    has
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_for_real_time() {
        let reasons = [
            NoAcceleration::Library(LibraryError::NotInstalled),
            NoAcceleration::Library(LibraryError::NoSuchFile("/opt/libfaketime.so".into())),
            NoAcceleration::NotStarted,
            NoAcceleration::Launch {
                library: "libfaketime.so.1".to_owned(),
                error: LaunchError::Failed { command: "broker".to_owned(), how: "exit status: 1".to_owned() },
            },
            NoAcceleration::Refused,
            NoAcceleration::NoEffect { passed: Duration::from_secs(38) },
        ];
        let lines: Vec<String> = reasons.iter().map(ToString::to_string).collect();
        insta::assert_snapshot!(lines.join("\n"), @r"
        libfaketime is not installed: on Debian, apt-get install libfaketime; elsewhere, MQTTSPEC_LIBFAKETIME names the file
        MQTTSPEC_LIBFAKETIME names /opt/libfaketime.so, which does not exist
        mqttspec did not start the server
        with libfaketime.so.1, the server does not start: `broker` failed: exit status: 1
        with libfaketime, the server does not accept a Client with Keep Alive 10
        libfaketime has no effect on the server, or the server ignores the Keep Alive: 38s of time were added to its clock, and it did not close the connection of a silent Client with Keep Alive 10. Programs that are linked statically or ask the system directly for the time cannot be accelerated, such as those in Go
        ");
    }

    #[test]
    fn the_note_on_accelerated_cases() {
        insta::assert_snapshot!(
            acceleration_note(3, 1000),
            @"3 cases that wait run with the times of their scenario, on servers whose clock is put forward by up to 1000 s in each second of a wait"
        );
    }
}
