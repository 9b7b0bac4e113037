//! A campaign on the reference peers has no finding, is the same for any number of threads and
//! shards, and finds a mutant, which it shrinks to a few lines.

use std::sync::atomic::AtomicBool;

use mqttspec_codec::Role;
use mqttspec_explore::{
    Campaign, Feature, Features, GENERATION, Limits, LiveServer, Options, Swarm, explore, generate, merge,
};
use mqttspec_mutants::Mutant;
use mqttspec_notation::{CatalogueClauses, parse, print, read};
use mqttspec_runner::latitude::Latitude;

fn options(tests: Role) -> Options {
    Options {
        seed: 0,
        runs: Some(24),
        tests,
        version: None,
        features: Features::default(),
        shard: "1/1".parse().expect("a shard"),
        jobs: 1,
        mutant: None,
        latitude: Latitude::Reference,
        limits: Limits { runs: 300 },
        generation: GENERATION,
    }
}

fn campaign(options: &Options) -> Campaign {
    explore(options, Campaign::default(), &AtomicBool::new(false), &mut |_| {})
}

#[test]
fn a_generated_scenario_is_an_ordinary_file() {
    for (seed, tests) in (0..100).zip([Role::Server, Role::Client].into_iter().cycle()) {
        let swarm = Swarm::draw(seed, tests, None, &Features::default());
        let text = generate(seed, &swarm);
        let checked = read("generated.mqtt", &text, &CatalogueClauses);
        let (scenario, _) = checked.unwrap_or_else(|found| panic!("seed {seed}: {}\n{text}", found.plain()));
        assert_eq!(print(&scenario), text, "seed {seed} is in canonical layout");
        let again = parse("generated.mqtt", &print(&scenario)).expect("it parses");
        assert_eq!(print(&again), text, "seed {seed}");
    }
}

#[test]
fn situations_on_a_live_server_need_only_what_it_can_do() {
    let server = LiveServer {
        topic_alias_maximum: 2,
        maximum_qos: 1,
        retains: true,
        accepts_keep_alive_0: false,
        takes_malformed: false,
        late: 1,
    };
    let configured = [Feature::Auth, Feature::Permissions, Feature::WebSocket];
    let features = Features::default().without(&configured).without(&[Feature::Malformed, Feature::Limits]);
    let swarms = (0..400).map(|seed| (seed, Swarm::draw(seed, Role::Server, None, &features).on(server)));
    let situations: Vec<(u64, Swarm)> =
        swarms.filter(|(_, swarm)| swarm.to_string().contains(" situation=")).collect();
    assert!(situations.len() > 200, "most runs are situations: {}", situations.len());
    for (seed, swarm) in situations {
        let text = generate(seed, &swarm);
        let lines = || text.lines().skip(1);
        let sends = |words: &[&str]| lines().find(|line| words.iter().all(|word| line.contains(word)));
        for words in [&["broker "][..], &["flags="], &["keep_alive=0"], &["publish", " qos=2"]] {
            assert_eq!(sends(words), None, "{swarm}\n{text}");
        }
        for words in ["wait 130s", "wait 700s", "topic_alias=3", "topic_alias=4", "topic_alias=11"] {
            assert_eq!(sends(&[words]), None, "{swarm}\n{text}");
        }
    }
}

#[test]
fn the_reference_peers_have_no_finding() {
    for tests in [Role::Server, Role::Client] {
        let found = campaign(&options(tests)).findings;
        assert!(found.is_empty(), "{found:#?}");
    }
}

#[test]
fn threads_shards_and_resuming_change_nothing() {
    let whole = campaign(&options(Role::Server));
    let threads = campaign(&Options { jobs: 3, ..options(Role::Server) });
    assert_eq!(whole, threads);
    let shard = |shard: &str| {
        campaign(&Options { runs: Some(12), shard: shard.parse().expect("a shard"), ..options(Role::Server) })
    };
    let merged = merge(&[shard("1/2"), shard("2/2")]);
    assert_eq!((merged.runs, &merged.coverage), (whole.runs, &whole.coverage));
    let half = campaign(&Options { runs: Some(10), ..options(Role::Server) });
    let half = Campaign::read(&half.text().expect("it is written")).expect("it is read");
    let resumed = explore(&options(Role::Server), half, &AtomicBool::new(false), &mut |_| {});
    assert_eq!(whole, resumed);
}

#[test]
fn what_reaches_a_new_cell_is_kept_and_changed() {
    let generation = 6.try_into().expect("not zero");
    let options = Options { generation, ..options(Role::Server) };
    let whole = campaign(&options);
    assert!(whole.kept.iter().any(|kept| kept.run < 6), "something is kept");
    let never = campaign(&Options { generation: GENERATION, ..options.clone() });
    assert_ne!(whole.coverage, never.coverage, "some runs were changed");
    assert_eq!(campaign(&Options { jobs: 3, ..options.clone() }), whole);
    // In the middle of a generation.
    let half = campaign(&Options { runs: Some(15), ..options.clone() });
    let half = Campaign::read(&half.text().expect("it is written")).expect("it is read");
    assert_eq!(explore(&options, half, &AtomicBool::new(false), &mut |_| {}), whole);
}

#[test]
fn a_mutant_is_found_and_shrunk() {
    let mutant = Mutant::named("dup-forgotten", Role::Server);
    let features = "qos1,qos2,cut".parse().expect("features");
    let found = campaign(&Options { mutant, features, ..options(Role::Server) }).findings;
    let first = found.first().expect("it is found");
    insta::assert_snapshot!(first.scenario);
}

#[test]
fn the_coverage_of_a_fixed_campaign() {
    let coverage = campaign(&options(Role::Server)).coverage;
    insta::assert_snapshot!(coverage.table());
}
