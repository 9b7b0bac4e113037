//! When faults begin and end, and how several combine, on a backend that records what it is told.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use mqttspec_faults::{
    Course, Fault, FaultError, Inject, Injector, LinkState, Phase, Probability, Profile, Step, Unsupported,
    Way,
};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;
use tokio::time::{Instant, sleep};

const SERVER: &str = "broker";

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// A backend of three hosts, of which every client has a link with the server.
#[derive(Clone)]
struct Paper(Rc<Sheet>);

struct Sheet {
    began: Instant,
    links: RefCell<BTreeMap<(String, String), LinkState>>,
    /// What was done to hosts and connections, with milliseconds.
    log: RefCell<Vec<String>>,
    down: RefCell<Vec<String>>,
    next_write: Cell<Option<Duration>>,
}

impl Paper {
    fn new() -> Paper {
        Paper(Rc::new(Sheet {
            began: Instant::now(),
            links: RefCell::default(),
            log: RefCell::default(),
            down: RefCell::default(),
            next_write: Cell::default(),
        }))
    }

    fn log(&self, what: &str) {
        let at = self.0.began.elapsed().as_millis();
        self.0.log.borrow_mut().push(format!("{at} {what}"));
    }

    fn state(&self, from: &str, to: &str) -> LinkState {
        self.0.links.borrow().get(&(from.to_owned(), to.to_owned())).cloned().unwrap_or_default()
    }
}

impl Inject for Paper {
    type Link = (String, String);

    fn supports(&self, fault: &Fault) -> Result<(), Unsupported> {
        match fault {
            Fault::Bandwidth { .. } => {
                Err(Unsupported { fault: fault.clone(), reason: "paper has no bandwidth" })
            }
            _ => Ok(()),
        }
    }

    fn links(&self, on: &Way) -> Result<Vec<(String, String)>, FaultError> {
        let all = ["a", "b"]
            .into_iter()
            .flat_map(|host| [(host.to_owned(), SERVER.to_owned()), (SERVER.to_owned(), host.to_owned())]);
        Ok(all
            .filter(|(from, to)| match on {
                Way::Everywhere => true,
                Way::Around(host) => from == host || to == host,
                Way::To(host) => to == host,
                Way::OneWay { from: sender, to: receiver } => from == sender && to == receiver,
            })
            .collect())
    }

    fn set(&self, link: &(String, String), state: &LinkState) {
        self.0.links.borrow_mut().insert(link.clone(), state.clone());
    }

    fn reset(&self, on: &Way) -> Result<(), FaultError> {
        self.log(&format!("reset {on}"));
        Ok(())
    }

    fn half_open(&self, on: &Way) -> Result<(), FaultError> {
        self.log(&format!("half-open {on}"));
        Ok(())
    }

    fn stall_reading(&self, host: &str) -> Result<(), FaultError> {
        self.log(&format!("stall {host}"));
        Ok(())
    }

    fn resume_reading(&self, host: &str) -> Result<(), FaultError> {
        self.log(&format!("resume {host}"));
        Ok(())
    }

    fn fill_disk(&self, host: &str) -> Result<(), FaultError> {
        self.log(&format!("fill {host}"));
        Ok(())
    }

    fn free_disk(&self, host: &str) -> Result<(), FaultError> {
        self.log(&format!("free {host}"));
        Ok(())
    }

    async fn crash(&self, host: &str) -> Result<(), FaultError> {
        if self.0.down.borrow().iter().any(|down| down == host) {
            return Err(FaultError::Down(host.to_owned()));
        }
        self.0.down.borrow_mut().push(host.to_owned());
        self.log(&format!("crash {host}"));
        Ok(())
    }

    fn crash_at_write(
        &self,
        host: &str,
        within: Duration,
    ) -> Result<impl Future<Output = Result<(), FaultError>> + 'static, FaultError> {
        self.log(&format!("plan crash {host}"));
        let (paper, host) = (self.clone(), host.to_owned());
        Ok(async move {
            sleep(paper.0.next_write.get().unwrap_or(within).min(within)).await;
            paper.crash(&host).await
        })
    }

    async fn start(&self, host: &str) -> Result<(), FaultError> {
        let mut down = self.0.down.borrow_mut();
        let Some(place) = down.iter().position(|down| down == host) else {
            return Err(FaultError::AlreadyUp(host.to_owned()));
        };
        down.remove(place);
        drop(down);
        self.log(&format!("start {host}"));
        Ok(())
    }
}

fn around(host: &str) -> Way {
    Way::Around(host.to_owned())
}

fn step(fault: Fault, begins: u64, lasts: u64) -> Step {
    Step { fault, begins: ms(begins), lasts: Some(ms(lasts)) }
}

fn ignore(_: &Step, _: Phase) {}

type Notes = Rc<RefCell<Vec<String>>>;

/// An observer, and what it was notified of.
fn observer(paper: &Paper) -> (impl Fn(&Step, Phase) + 'static, Notes) {
    let notified = Notes::default();
    let (notes, paper) = (notified.clone(), paper.clone());
    let observer = move |step: &Step, phase| {
        let at = paper.0.began.elapsed().as_millis();
        notes.borrow_mut().push(format!("{at} {} {phase:?}", step.fault));
    };
    (observer, notified)
}

#[tokio::test(start_paused = true)]
async fn a_fault_of_a_course_ends_and_leaves_the_fault_that_was_there_before() {
    let (paper, a) = (Paper::new(), "a");
    let injector = Injector::new(paper.clone());
    let latency = Fault::Latency { on: around(a), latency: ms(20)..=ms(20) };
    let loss = Fault::Loss { on: around(a), probability: Probability::percent(10) };
    for fault in [latency, loss] {
        injector.run(Course::of(fault, None), ignore).await.unwrap();
    }
    let before = paper.state(a, SERVER);
    assert_eq!(
        (before.latency.clone(), before.loss),
        (Some(ms(20)..=ms(20)), Some(Probability::percent(10)))
    );

    let slow = Profile::HighLatency { added: ms(500), lasts: ms(8_000) }.course(&[a], SERVER);
    let lossy =
        Profile::PacketLoss { probability: Probability::ALWAYS, lasts: ms(6_000) }.course(&[a], SERVER);
    let slow = injector.begin(slow, ignore).await.unwrap();
    let lossy = injector.begin(lossy, ignore).await.unwrap();
    let during = LinkState { added_latency: ms(500), loss: Some(Probability::ALWAYS), ..before.clone() };
    assert_eq!(paper.state(a, SERVER), during);
    assert_eq!(paper.state(SERVER, a), during, "in both directions");
    assert_eq!(paper.state("b", SERVER), LinkState::default(), "on no other link");
    lossy.finish().await.unwrap();
    slow.finish().await.unwrap();
    assert_eq!(paper.state(a, SERVER), before);
}

#[tokio::test(start_paused = true)]
async fn faults_of_one_kind_that_overlap_end_apart() {
    let (paper, a) = (Paper::new(), "a");
    let injector = Injector::new(paper.clone());
    let slow = |added| Fault::AddedLatency { on: around(a), added: ms(added) };
    let cut = || Fault::Partition { on: around(a) };
    let course = Course::from_iter([
        step(slow(100), 0, 2_000),
        step(slow(30), 1_000, 2_000),
        step(cut(), 0, 1_000),
        step(cut(), 500, 1_000),
    ]);
    let running = tokio::task::LocalSet::new();
    let seen = running
        .run_until(async {
            let rest = injector.begin(course, ignore).await.unwrap();
            let rest = tokio::task::spawn_local(rest.finish());
            let mut seen = Vec::new();
            for _ in 0..7 {
                let state = paper.state(a, SERVER);
                seen.push((state.added_latency.as_millis(), state.partitioned));
                sleep(ms(501)).await;
            }
            rest.await.unwrap().unwrap();
            seen
        })
        .await;
    let expected =
        [(100, true), (100, true), (130, true), (130, false), (30, false), (30, false), (0, false)];
    assert_eq!(seen, expected);
}

#[tokio::test(start_paused = true)]
async fn healing_one_direction_leaves_the_other() {
    let paper = Paper::new();
    let injector = Injector::new(paper.clone());
    let cut = Course::of(Fault::Partition { on: around("a") }, Some(ms(5_000)));
    let (observe, notified) = observer(&paper);
    let rest = injector.begin(cut, observe).await.unwrap();
    injector.heal(&Way::OneWay { from: "a".to_owned(), to: SERVER.to_owned() }).unwrap();
    assert!(!paper.state("a", SERVER).partitioned);
    assert!(paper.state(SERVER, "a").partitioned);
    injector.heal(&Way::Everywhere).unwrap();
    assert!(!paper.state(SERVER, "a").partitioned);
    // Another partition is not ended by the first one's end.
    injector.run(Course::of(Fault::Partition { on: Way::To("a".to_owned()) }, None), ignore).await.unwrap();
    rest.finish().await.unwrap();
    assert!(paper.state(SERVER, "a").partitioned);
    assert_eq!(*notified.borrow(), ["0 partition around a Begun"], "healed, so it does not end");
}

#[tokio::test(start_paused = true)]
async fn a_course_notifies_of_begin_and_end_and_keeps_its_times() {
    let paper = Paper::new();
    let injector = Injector::new(paper.clone());
    let (observe, notified) = observer(&paper);
    let turns = Profile::Intermittent { on: ms(1_000), off: ms(2_000), lasts: ms(5_500) };
    injector.run(turns.course(&["a"], SERVER), observe).await.unwrap();
    assert_eq!(
        *notified.borrow(),
        [
            "0 partition around a Begun",
            "2000 partition around a Ended",
            "3000 partition around a Begun",
            "5000 partition around a Ended",
        ]
    );
    assert!(!paper.state("a", SERVER).partitioned);
}

#[tokio::test(start_paused = true)]
async fn a_disk_loss_begins_at_the_write_and_lasts_from_there() {
    let loss = || Profile::TornWrites { down: ms(2_000) }.course(&["a"], SERVER);
    let paper = Paper::new();
    paper.0.next_write.set(Some(ms(300)));
    let injector = Injector::new(paper.clone());
    let (observe, notified) = observer(&paper);
    let rest = injector.begin(loss(), observe).await.unwrap();
    assert_eq!(*paper.0.log.borrow(), ["0 plan crash broker"], "begin does not wait for the write");
    rest.finish().await.unwrap();
    assert_eq!(*paper.0.log.borrow(), ["0 plan crash broker", "300 crash broker", "2300 start broker"]);
    assert_eq!(*notified.borrow(), ["300 disk loss of broker Begun", "2300 disk loss of broker Ended"]);
}

#[tokio::test(start_paused = true)]
async fn a_host_that_was_started_meanwhile_is_left_alone() {
    let paper = Paper::new();
    let injector = Injector::new(paper.clone());
    let crash = |lasts| Course::of(Fault::Crash { host: SERVER.to_owned() }, lasts);
    let (observe, notified) = observer(&paper);
    let first = injector.begin(crash(Some(ms(2_000))), observe).await.unwrap();
    injector.start(SERVER).await.unwrap();
    // A second crash has no end: the end of the first must not start the host.
    injector.run(crash(None), ignore).await.unwrap();
    first.finish().await.unwrap();
    assert_eq!(*paper.0.log.borrow(), ["0 crash broker", "0 start broker", "0 crash broker"]);
    assert_eq!(*notified.borrow(), ["0 crash of broker Begun"]);
}

#[tokio::test(start_paused = true)]
async fn a_reader_stalled_twice_reads_again_at_the_second_end() {
    let paper = Paper::new();
    let injector = Injector::new(paper.clone());
    let stall = || Fault::StalledReader { host: "a".to_owned() };
    let course = Course::from_iter([step(stall(), 0, 1_000), step(stall(), 500, 1_000)]);
    injector.run(course.clone(), ignore).await.unwrap();
    assert_eq!(*paper.0.log.borrow(), ["0 stall a", "500 stall a", "1500 resume a"]);
    // What was resumed explicitly does not end again.
    paper.0.log.borrow_mut().clear();
    let rest = injector.begin(course, ignore).await.unwrap();
    sleep(ms(100)).await;
    injector.resume_reading("a").unwrap();
    rest.finish().await.unwrap();
    let expected = ["1500 stall a", "1600 resume a", "2000 stall a", "3000 resume a"];
    assert_eq!(*paper.0.log.borrow(), expected);
}

#[tokio::test(start_paused = true)]
async fn an_unsupported_fault_is_refused_before_anything_begins() {
    let paper = Paper::new();
    let injector = Injector::new(paper.clone());
    let slow = Fault::Bandwidth { on: around("a"), bytes_per_second: 1_000 };
    let course =
        Course::from_iter([step(Fault::Reset { on: around("a") }, 0, 0), step(slow.clone(), 1_000, 1_000)]);
    let refused = injector.begin(course, ignore).await.err();
    let unsupported = Unsupported { fault: slow, reason: "paper has no bandwidth" };
    assert_eq!(
        unsupported.to_string(),
        "bandwidth 1000 B/s around a is not supported: paper has no bandwidth"
    );
    assert_eq!(refused, Some(FaultError::Unsupported(unsupported)));
    assert!(paper.0.log.borrow().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_course_that_cannot_begin_leaves_no_fault_behind() {
    let paper = Paper::new();
    paper.0.down.borrow_mut().push("b".to_owned());
    let injector = Injector::new(paper.clone());
    let crash = |host: &str| Fault::Crash { host: host.to_owned() };
    let course = Course::from_iter([
        step(Fault::Partition { on: around("a") }, 0, 1_000),
        step(crash("a"), 0, 1_000),
        step(crash("b"), 0, 1_000),
    ]);
    let error = injector.begin(course, ignore).await.err();
    assert_eq!(error, Some(FaultError::Down("b".to_owned())));
    assert!(!paper.state("a", SERVER).partitioned);
    assert_eq!(*paper.0.log.borrow(), ["0 crash a", "0 start a"]);
}

#[tokio::test(start_paused = true)]
async fn a_step_that_fails_later_does_not_keep_the_others_from_ending() {
    let paper = Paper::new();
    let injector = Injector::new(paper.clone());
    let crash = || Fault::Crash { host: "a".to_owned() };
    let cut = Fault::Partition { on: around("b") };
    let course = Course::from_iter([step(crash(), 0, 3_000), step(crash(), 1_000, 500), step(cut, 0, 2_000)]);
    let error = injector.run(course, ignore).await.err();
    assert_eq!(error, Some(FaultError::Down("a".to_owned())));
    assert_eq!(*paper.0.log.borrow(), ["0 crash a", "3000 start a"]);
    assert!(!paper.state("b", SERVER).partitioned);
}
