//! `mqttspec explore --against`: the same generated scenarios on two brokers.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use mqttspec_explore::{Against, Comparison, Difference, Features, Limits, Options, Side};
use mqttspec_runner::live::single::LiveTarget;
use mqttspec_runner::live::target_file::TargetFile;
use mqttspec_runner::live::{JOBS, LiveOptions};
use mqttspec_runner::run::RunOptions;

use crate::arguments::{Compared, ExploreArguments};
use crate::explore::{ExploreError, LIVE_RUNS, contact, options, stop_on_ctrl_c};
use crate::live::LiveCommandError;
use crate::{CommandError, FAILED, PASSED};

#[expect(
    clippy::disallowed_methods,
    reason = "the clock stops the comparison and shows its rate; no run reads it"
)]
pub(crate) fn run(arguments: &ExploreArguments) -> Result<u8, CommandError> {
    let [one, other] = &arguments.against[..] else {
        return Err(ExploreError::Against(arguments.against.len()).into());
    };
    let features = arguments.features.clone().unwrap_or_else(Features::without_faults);
    let options = Options { features, limits: Limits { runs: LIVE_RUNS }, ..options(arguments) };
    let (mut one, mut other) = (target(one, arguments)?, target(other, arguments)?);
    let stop = Arc::new(AtomicBool::new(false));
    stop_on_ctrl_c(&stop)?;
    let enough = AtomicBool::new(false);
    let began = Instant::now();
    let mut shown = began;
    let mut progress = |comparison: &Comparison, note: Option<&str>| {
        let now = Instant::now();
        if arguments.lasting.is_some_and(|lasting| now - began >= lasting) {
            enough.store(true, Ordering::Relaxed);
        }
        let mut err = anstream::stderr();
        // If the terminal was closed, the results are still written.
        if let Some(note) = note {
            let _ = writeln!(err, "{note}");
        }
        if now - shown >= Duration::from_secs(5) {
            shown = now;
            let Comparison { runs, equal, differences, .. } = comparison;
            let _ = writeln!(err, "{runs} scenarios, {equal} equal, {} differences", differences.len());
        }
    };
    let mut against = Against { sides: [side(&mut one), side(&mut other)], stop: &stop, enough: &enough };
    let comparison = mqttspec_explore::compare(&options, &mut against, &mut progress);
    anstream::stdout().write_all(comparison.page(&file_name).as_bytes())?;
    if let Some(folder) = &arguments.out {
        write(folder, &comparison)?;
    }
    let breaks = |difference: &Difference| difference.violations.iter().any(|side| !side.is_empty());
    Ok(if comparison.differences.iter().any(breaks) { FAILED } else { PASSED })
}

fn target(compared: &Compared, arguments: &ExploreArguments) -> Result<Option<LiveTarget>, CommandError> {
    let Compared::TargetFile(path) = compared else { return Ok(None) };
    let target_file = TargetFile::read(path).map_err(LiveCommandError::from)?;
    let jobs = arguments.jobs.map_or(target_file.jobs.unwrap_or(JOBS), usize::from);
    let live = LiveOptions { jobs, target_file, ..LiveOptions::default() };
    Ok(Some(contact(&live)?))
}

fn side(target: &mut Option<LiveTarget>) -> Side<'_> {
    match target {
        Some(target) => Side::Live(target),
        None => Side::Simulated(RunOptions::default()),
    }
}

fn file_name(number: usize, difference: &Difference) -> String {
    format!("{number:03}-seed-{}.mqtt", difference.seed)
}

fn write(folder: &Path, comparison: &Comparison) -> Result<(), ExploreError> {
    let scenarios = folder.join("differences");
    let mut files = vec![(folder.join("differences.md"), comparison.page(&file_name))];
    for (number, difference) in comparison.differences.iter().enumerate() {
        files.push((scenarios.join(file_name(number + 1, difference)), difference.scenario.clone()));
    }
    fs::create_dir_all(&scenarios).map_err(|source| ExploreError::Write { path: scenarios, source })?;
    for (path, text) in files {
        fs::write(&path, text).map_err(|source| ExploreError::Write { path, source })?;
    }
    Ok(())
}
