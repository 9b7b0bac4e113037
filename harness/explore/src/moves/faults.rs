//! Faults of links and hosts.

use super::Writer;
use crate::features::Feature;

impl Writer<'_> {
    pub(super) fn fault(&mut self) {
        use Feature as F;
        let faults: Vec<Feature> = [
            F::Cut,
            F::Close,
            F::Partition,
            F::Latency,
            F::Loss,
            F::Bandwidth,
            F::Stall,
            F::CrashServer,
            F::CrashClient,
            F::Profile,
        ]
        .into_iter()
        .filter(|feature| self.swarm.has(*feature))
        .collect();
        let Some(fault) = self.draw.pick(&faults).copied() else { return self.wait() };
        let index = self.below(self.clients.len());
        let name = self.clients[index].name.clone();
        // Inside packets and between them: the cut falls where the seed draws it.
        let timing = ["", " between 0ms..20ms", " after 3ms"][self.below(3)];
        match fault {
            F::Cut | F::Close => {
                let word = if fault == F::Cut { "cut" } else { "close" };
                if !self.raws.is_empty() && self.draw.below(4) == 0 {
                    let host = self.below(self.raws.len());
                    if self.raws[host].open {
                        self.raws[host].open = false;
                        let name = self.raws[host].name.clone();
                        return self.line(&format!("{word} {name}{timing}"));
                    }
                }
                // The executor closes only connections that it plays.
                if self.clients[index].runs && fault == F::Cut {
                    self.line(&format!("cut {name}{timing}"));
                }
            }
            F::Partition => {
                let towards = ["", " to broker"][self.below(2)];
                let times = if self.is_live() { [300, 1500, 4000] } else { [500, 3000, 12_000] };
                let time = times[self.below(3)];
                self.line(&format!("partition {name}{towards} for {time}ms"));
            }
            F::Latency => {
                let least = self.draw.below(200);
                let lasting = self.timed("10s", "3s");
                self.line(&format!("latency {name} {least}ms..{}ms for {lasting}", least + 200));
            }
            F::Loss => self.line(&format!("loss {name} 25% for {}", self.timed("8s", "3s"))),
            F::Bandwidth => self.line(&format!("bandwidth {name} 1kB/s for {}", self.timed("5s", "3s"))),
            F::Stall => {
                if self.clients[index].stalled {
                    self.line(&format!("resume {name}"));
                } else if self.clients[index].runs {
                    self.line(&format!("stall {name}"));
                } else {
                    return;
                }
                self.clients[index].stalled = !self.clients[index].stalled;
            }
            F::CrashServer => {
                if self.server_runs {
                    self.line(&format!("crash broker{timing}"));
                    self.raws.iter_mut().for_each(|raw| raw.open = false);
                } else {
                    self.line("start broker");
                }
                self.server_runs = !self.server_runs;
            }
            F::CrashClient => {
                if self.clients[index].runs {
                    self.line(&format!("crash {name}{timing}"));
                } else {
                    self.line(&format!("start {name}"));
                }
                self.clients[index].stalled = false;
                self.clients[index].runs = !self.clients[index].runs;
            }
            F::Profile => {
                let profile =
                    self.one(&["reset", "half-open", "one-way-partition", "complete-outage", "packet-loss"]);
                self.line(&format!("profile {profile} {name}"));
            }
            _ => {}
        }
    }
}
