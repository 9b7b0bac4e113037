//! The positions of the hosts in a diagram: the server is in the middle, and the gaps are as wide
//! as their labels.

use mqttspec_judge::trace::{Trace, TraceFault, TraceFaultKind, TraceKind};

use super::{Lane, label};

/// Pixels for the times on the left.
pub(super) const TIMES: u32 = 92;
/// Pixels for the numbers of scenario lines on the right.
pub(super) const LINES: u32 = 44;
pub(super) const CHARACTER_TENTHS: u32 = 66;
const GAP_LEAST: u32 = 130;

pub(super) struct Lanes {
    /// (name, x), in the order of the trace.
    hosts: Vec<(String, u32)>,
    /// The indices of `hosts`, from left to right.
    order: Vec<usize>,
    width: u32,
}

impl Lanes {
    pub(super) fn of(trace: &Trace) -> Self {
        let clients = trace.hosts.len().saturating_sub(1);
        let on_the_left = clients.div_ceil(2);
        let mut order: Vec<usize> = (1..=on_the_left).collect();
        if !trace.hosts.is_empty() {
            order.push(0);
        }
        order.extend(on_the_left + 1..trace.hosts.len());
        let mut lanes =
            Self { hosts: trace.hosts.iter().map(|name| (name.clone(), 0)).collect(), order, width: 0 };
        lanes.place(trace);
        lanes
    }

    fn place(&mut self, trace: &Trace) {
        let mut gaps = vec![GAP_LEAST; self.order.len().saturating_sub(1)];
        let mut margins = [0, 0];
        for event in &trace.events {
            let lane = self.index(&event.host);
            match event.kind {
                TraceKind::ToServer | TraceKind::ToClient | TraceKind::Closed => {
                    if let Some(gap) = self.gap_of(lane).and_then(|gap| gaps.get_mut(gap)) {
                        *gap = (*gap).max(text_width(&label(&event.text)) + 34);
                    }
                }
                TraceKind::Asked | TraceKind::Told => {
                    let place = self.order.iter().position(|index| *index == lane);
                    let half = (text_width(&label(&event.text)) + 80) / 2;
                    if place == Some(0) {
                        margins[0] = half.max(margins[0]);
                    }
                    if place == Some(self.order.len() - 1) {
                        margins[1] = half.max(margins[1]);
                    }
                }
                _ => {}
            }
        }
        let half_name =
            |place: Option<&usize>| place.map_or(0, |index| text_width(&self.hosts[*index].0) * 6 / 10 + 18);
        let mut x = TIMES + half_name(self.order.first()).max(margins[0]);
        let right = half_name(self.order.last()).max(margins[1]);
        for place in 0..self.order.len() {
            let index = self.order[place];
            self.hosts[index].1 = x;
            x += gaps.get(place).copied().unwrap_or(0);
        }
        self.width = x + right + LINES;
    }

    /// The lane of a host; the server's where the name is unknown.
    pub(super) fn index(&self, host: &str) -> usize {
        self.hosts.iter().position(|(name, _)| name == host).unwrap_or(0)
    }

    pub(super) fn x(&self, lane: usize) -> u32 {
        self.hosts.get(lane).map_or(TIMES, |(_, x)| *x)
    }

    pub(super) fn server_x(&self) -> u32 {
        self.x(0)
    }

    /// The positions of the outermost lanes.
    pub(super) fn edges(&self) -> (u32, u32) {
        let x = |place: Option<&usize>| place.map_or(TIMES, |index| self.x(*index));
        (x(self.order.first()), x(self.order.last()))
    }

    /// The middle of the gap between a client's lane and its neighbour towards the server. The
    /// labels of a client's arrows are here: each gap belongs to one client.
    pub(super) fn label_middle(&self, lane: usize) -> u32 {
        let Some(gap) = self.gap_of(lane) else { return self.x(lane) };
        u32::midpoint(self.x(self.order[gap]), self.x(self.order[gap + 1]))
    }

    /// The gap between a client's lane and its neighbour towards the server: the position of the
    /// lane on its left.
    fn gap_of(&self, lane: usize) -> Option<usize> {
        let place = self.order.iter().position(|index| *index == lane)?;
        let server = self.order.iter().position(|index| *index == 0)?;
        match place.cmp(&server) {
            std::cmp::Ordering::Less => Some(place),
            std::cmp::Ordering::Greater => Some(place - 1),
            std::cmp::Ordering::Equal => None,
        }
    }

    /// The left and right ends of a fault: its hosts' links to the server, or one host if the fault
    /// is of the machine.
    pub(super) fn concerned(&self, fault: &TraceFault) -> (u32, u32) {
        let place = |name: &String| self.hosts.iter().position(|(host, _)| host == name);
        let named: Vec<u32> =
            fault.hosts.iter().chain(&fault.towards).filter_map(place).map(|lane| self.x(lane)).collect();
        let (Some(left), Some(right)) = (named.iter().min(), named.iter().max()) else {
            return self.edges();
        };
        if matches!(fault.kind, TraceFaultKind::Crash | TraceFaultKind::Start | TraceFaultKind::Disk) {
            return (left.saturating_sub(26), right + 26);
        }
        (self.server_x().min(*left), self.server_x().max(*right))
    }

    pub(super) fn width(&self) -> u32 {
        self.width
    }

    pub(super) fn drawn(&self) -> Vec<Lane> {
        let lane = |index: &usize| Lane { name: self.hosts[*index].0.clone(), x: self.hosts[*index].1 };
        self.order.iter().map(lane).collect()
    }
}

fn text_width(text: &str) -> u32 {
    u32::try_from(text.chars().count()).unwrap_or(u32::MAX / CHARACTER_TENTHS) * CHARACTER_TENTHS / 10
}
