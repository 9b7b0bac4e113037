//! `mqttspec explore`, `shrink` and `merge`: campaigns of generated scenarios.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use mqttspec_codec::Role;
use mqttspec_explore::{
    Campaign, CampaignError, Coverage, Found, Limits, Live, Measured, Options, Progress, Swarm,
};
use mqttspec_runner::live::single::LiveTarget;
use mqttspec_runner::live::{LiveOptions, interrupted, kill_servers};
use thiserror::Error;

use crate::arguments::{ExploreArguments, MergeArguments, RoleName, ShrinkArguments};
use crate::live::{self, LiveCommandError};
use crate::{CommandError, FAILED, PASSED};

/// The results of a campaign, in its folder.
const RESULTS: &str = "campaign.json";

/// The folders of scenarios in it.
const SCENARIOS: [&str; 2] = ["findings", "unconfirmed"];

/// The number of runs on a live broker in which a finding is shrunk.
pub(crate) const LIVE_RUNS: u32 = 250;

/// How long each finding on a live broker is shrunk.
const LIVE_SHRINKING: Duration = Duration::from_secs(60);

/// The number of simulated runs in which `shrink` shortens a scenario.
const SIMULATED_RUNS: u32 = 1500;

/// Why a campaign cannot begin or its results cannot be written.
#[derive(Debug, Error)]
pub(crate) enum ExploreError {
    #[error("cannot read {}: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("cannot write {}: {source}", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("{}: {source}", path.display())]
    Campaign { path: PathBuf, source: CampaignError },
    #[error("Ctrl-C cannot be noticed: {0}")]
    Signal(io::Error),
    #[error(
        "--against names two brokers to compare, and {0} was given: write it twice, each with `reference` or a target file"
    )]
    Against(usize),
    #[error("{}: {reason}", path.display())]
    Shrink { path: PathBuf, reason: String },
}

#[expect(
    clippy::disallowed_methods,
    reason = "the clock stops a campaign and shows its rate; no run reads it"
)]
fn run_campaign(arguments: &ExploreArguments) -> Result<u8, CommandError> {
    let mut options = options(arguments);
    let live = live::target(&arguments.live)?;
    let folder = arguments.out.as_ref().or(arguments.resume.as_ref());
    let before = match &arguments.resume {
        Some(folder) => read(folder)?,
        None => Campaign::default(),
    };
    let stop = Arc::new(AtomicBool::new(false));
    stop_on_ctrl_c(&stop)?;
    let mut target = match &live {
        Some(live) => {
            options.limits = Limits { runs: LIVE_RUNS };
            let jobs = arguments.jobs.map_or(live.jobs, usize::from);
            let live = LiveOptions { jobs, ..live.clone() };
            Some(contact(&live)?)
        }
        None => None,
    };
    let enough = AtomicBool::new(false);
    let began = Instant::now();
    let done_before = before.runs;
    let mut shown = began;
    let is_live = live.is_some();
    let mut progress = |Progress { campaign, found, note }: Progress<'_>| {
        let now = Instant::now();
        if arguments.lasting.is_some_and(|lasting| now - began >= lasting) {
            let flag = if is_live { &enough } else { &*stop };
            flag.store(true, Ordering::Relaxed);
        }
        let mut err = anstream::stderr();
        if let Some(note) = note {
            let _ = writeln!(err, "{note}");
        }
        if let Some(found) = found {
            // If the terminal was closed, the results are still written.
            let _ = write!(err, "{}", text_of(found));
        }
        // A second signal ends the process, and nothing is written then.
        if (note.is_some() || found.is_some())
            && let Some(folder) = folder
            && let Err(error) = write_results(folder, campaign)
        {
            let _ = writeln!(err, "{error}");
        }
        if now - shown >= Duration::from_secs(5) {
            shown = now;
            let _ = writeln!(err, "{}", rate(campaign, campaign.runs - done_before, now - began));
        }
    };
    let campaign = match &mut target {
        Some(target) => {
            let clock = || began.elapsed();
            let shrink_for = Some(LIVE_SHRINKING);
            let mut live = Live { target, stop: &stop, enough: &enough, clock: &clock, shrink_for };
            mqttspec_explore::explore_live(&options, &mut live, before, &mut progress)
        }
        None => mqttspec_explore::explore(&options, before, &stop, &mut progress),
    };
    let mut out = anstream::stdout().lock();
    writeln!(out, "{}", rate(&campaign, campaign.runs - done_before, began.elapsed()))?;
    if let Some(folder) = folder {
        write_results(folder, &campaign)?;
        writeln!(out, "wrote {}", folder.join(RESULTS).display())?;
    }
    Ok(if campaign.findings.is_empty() { PASSED } else { FAILED })
}

/// Starts the broker if no target is given, probes it, and shows what is known of it.
pub(crate) fn contact(live: &LiveOptions) -> Result<LiveTarget, CommandError> {
    let contacted = LiveTarget::contact(live, &mut |progress| {
        let text = live::description(&progress).unwrap_or_default();
        // If the terminal was closed, the campaign still runs.
        let _ = anstream::stderr().write_all(text.as_bytes());
    });
    Ok(contacted.map_err(LiveCommandError::from)?)
}

/// Prints which mutants campaigns find. The clock is not read: the page depends on the seeds only.
fn measure_mutants(arguments: &ExploreArguments) -> Result<u8, CommandError> {
    let options = options(arguments);
    let roles = [Role::Server, Role::Client].map(|tests| {
        let options = Options { tests, ..options.clone() };
        let shown = |measured: &Measured| {
            let first = measured.first.as_ref();
            let runs = first.map_or_else(|| "not found".to_owned(), |(runs, _)| format!("{runs} runs"));
            // If the terminal was closed, the page is still printed.
            let _ = writeln!(anstream::stderr(), "{}: {runs}", measured.mutant.name);
        };
        (tests, mqttspec_explore::measure(&options, &shown))
    });
    let mut command = format!("mqttspec explore --mutants --runs {}", arguments.runs.unwrap_or_default());
    if arguments.seed != 0 {
        command.push_str(&format!(" --seed {}", arguments.seed));
    }
    if let Some(features) = &arguments.features {
        command.push_str(&format!(" --features {features}"));
    }
    anstream::stdout().write_all(mqttspec_explore::page(&command, &roles).as_bytes())?;
    Ok(PASSED)
}

pub(crate) fn run(arguments: &ExploreArguments) -> Result<u8, CommandError> {
    if arguments.mutants {
        return measure_mutants(arguments);
    }
    if !arguments.print {
        return run_campaign(arguments);
    }
    let options = options(arguments);
    let swarm = Swarm::draw(options.seed, options.tests, options.version, &options.features);
    anstream::stdout().write_all(mqttspec_explore::generate(options.seed, &swarm).as_bytes())?;
    Ok(PASSED)
}

pub(crate) fn shrink_file(arguments: &ShrinkArguments) -> Result<u8, CommandError> {
    let path = &arguments.file;
    let text =
        fs::read_to_string(path).map_err(|source| ExploreError::Read { path: path.clone(), source })?;
    let refused = |reason: String| ExploreError::Shrink { path: path.clone(), reason };
    if let Some(options) = live::target(&arguments.live)? {
        let stop = Arc::new(AtomicBool::new(false));
        stop_on_ctrl_c(&stop)?;
        let limits = Limits { runs: arguments.runs.unwrap_or(LIVE_RUNS) };
        let mut live = Live {
            target: &mut contact(&options)?,
            stop: &stop,
            enough: &AtomicBool::new(false),
            clock: &|| Duration::ZERO,
            shrink_for: None,
        };
        let shrunk = mqttspec_explore::shrink_first_live(&text, limits, &mut live).map_err(refused)?;
        anstream::stdout().write_all(shrunk.as_bytes())?;
        return Ok(PASSED);
    }
    let limits = Limits { runs: arguments.runs.unwrap_or(SIMULATED_RUNS) };
    let shrunk = mqttspec_explore::shrink_first(&text, arguments.seed, limits).map_err(refused)?;
    anstream::stdout().write_all(shrunk.text.as_bytes())?;
    writeln!(anstream::stderr(), "{} runs", shrunk.runs)?;
    Ok(PASSED)
}

pub(crate) fn merge_folders(arguments: &MergeArguments) -> Result<u8, CommandError> {
    let shards = arguments.folders.iter().map(|folder| read(folder)).collect::<Result<Vec<_>, _>>()?;
    let campaign = mqttspec_explore::merge(&shards);
    write_results(&arguments.out, &campaign)?;
    let mut out = anstream::stdout().lock();
    for found in &campaign.findings {
        write!(out, "{}", text_of(found))?;
    }
    let (findings, cells) = (campaign.findings.len(), campaign.coverage.cells());
    writeln!(out, "{} runs, {findings} findings, {cells} cells", campaign.runs)?;
    Ok(if campaign.findings.is_empty() { PASSED } else { FAILED })
}

pub(crate) fn options(arguments: &ExploreArguments) -> Options {
    let cpus = || std::thread::available_parallelism().map_or(1, usize::from);
    Options {
        seed: arguments.seed,
        runs: arguments.runs,
        tests: match arguments.tests {
            RoleName::Server => Role::Server,
            RoleName::Client => Role::Client,
        },
        version: arguments.version.map(Into::into),
        features: arguments.features.clone().unwrap_or_default(),
        shard: arguments.shard,
        jobs: arguments.jobs.map_or_else(cpus, usize::from),
        mutant: None,
        generation: mqttspec_explore::GENERATION,
        latitude: arguments.latitude.unwrap_or_default(),
        limits: Limits::default(),
    }
}

/// Sets the flag at the first Ctrl-C or SIGTERM, so that the servers are stopped too; the second one
/// kills them and ends the process.
#[expect(clippy::disallowed_methods, reason = "the thread only waits for the signal")]
pub(crate) fn stop_on_ctrl_c(stop: &Arc<AtomicBool>) -> Result<(), ExploreError> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(ExploreError::Signal)?;
    let stop = stop.clone();
    std::thread::spawn(move || {
        runtime.block_on(async {
            interrupted().await;
            stop.store(true, Ordering::Relaxed);
            interrupted().await;
            kill_servers();
            std::process::exit(130);
        });
    });
    Ok(())
}

fn rate(campaign: &Campaign, runs: u64, elapsed: Duration) -> String {
    let Campaign { findings, coverage, not_judged, .. } = campaign;
    #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
    let rate = runs as f64 / elapsed.as_secs_f64().max(0.001);
    format!(
        "{} runs ({rate:.0}/s), {} findings, {} of {} cells, {not_judged} not judged",
        campaign.runs,
        findings.len(),
        coverage.cells(),
        Coverage::all_cells()
    )
}

fn text_of(found: &Found) -> String {
    let Found { shape, seed, times, expected, actual, scenario } = found;
    let clauses = shape.clauses.join(" ");
    format!(
        "\nseed {seed}: {} [{} {clauses}], {times} runs\n  expected: {expected}\n  actual:   {actual}\n\n{}\n",
        shape.check,
        shape.version,
        indented(scenario)
    )
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("    {line}\n")).collect()
}

fn read(folder: &Path) -> Result<Campaign, ExploreError> {
    let path = folder.join(RESULTS);
    let text =
        fs::read_to_string(&path).map_err(|source| ExploreError::Read { path: path.clone(), source })?;
    Campaign::read(&text).map_err(|source| ExploreError::Campaign { path, source })
}

/// Whether a file has a name that `write_results` gives: people may keep others beside them.
fn is_of_a_campaign(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    let numbers = name.and_then(|name| name.strip_suffix(".mqtt")?.split_once("-seed-"));
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    numbers.is_some_and(|(number, seed)| is_number(number) && is_number(seed))
}

fn write_results(folder: &Path, campaign: &Campaign) -> Result<(), ExploreError> {
    let text =
        campaign.text().map_err(|source| ExploreError::Campaign { path: folder.join(RESULTS), source })?;
    let mut files = vec![(RESULTS.to_owned(), text), ("coverage.md".to_owned(), campaign.coverage.table())];
    for (number, one) in campaign.unconfirmed.iter().enumerate() {
        let name = format!("unconfirmed/{:03}-seed-{}.mqtt", number + 1, one.seed);
        files.push((name, one.scenario.clone()));
    }
    for (number, found) in campaign.findings.iter().enumerate() {
        files.push((format!("findings/{:03}-seed-{}.mqtt", number + 1, found.seed), found.scenario.clone()));
    }
    let failed = |path: &Path| {
        let path = path.to_owned();
        |source| ExploreError::Write { path, source }
    };
    let mut written = BTreeSet::new();
    for name in SCENARIOS {
        fs::create_dir_all(folder.join(name)).map_err(failed(folder))?;
    }
    for (name, text) in files {
        let path = folder.join(name);
        fs::write(&path, text).map_err(failed(&path))?;
        written.insert(path);
    }
    // The results are written several times, and what was unconfirmed may be a finding now.
    for name in SCENARIOS {
        let folder = folder.join(name);
        for entry in fs::read_dir(&folder).map_err(failed(&folder))? {
            let path = entry.map_err(failed(&folder))?.path();
            if is_of_a_campaign(&path) && !written.contains(&path) {
                fs::remove_file(&path).map_err(failed(&path))?;
            }
        }
    }
    Ok(())
}
