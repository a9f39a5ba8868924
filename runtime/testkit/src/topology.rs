//! Draws a pipeline from a seed: sources, what happens to their rows on the way, sinks, and what happens to the run.
//!
//! Chains, fan-outs, merges, diamonds, diamonds into a join, `errors` edges, lanes, edges of 1 KiB, small budgets, several
//! epochs, drains, cancels, failures. Invariant: a topology is a pure function of its seed, and its nodes stand in
//! topological order, so that the oracle can walk them once.
//! Not here: running it (`campaign`), what must come out (`oracle`).

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use rde_core::{ByteSize, OnError, Settings};

use crate::script::{Action, Broken, SinkScript, SourceScript, SplitScript, TransformScript, Whole, WholeScript};

/// One operator.
#[derive(Clone, Debug)]
pub enum Node {
    /// Reads.
    Source(SourceScript),
    /// Works on batches.
    Transform(TransformScript),
    /// Works on whole inputs.
    Whole(WholeScript),
    /// Collects.
    Sink(SinkScript),
}

/// What ends a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Its sources.
    Eos,
    /// A drain after this long.
    Drain(Duration),
    /// A cancel after this long.
    Cancel(Duration),
}

/// Options beside an operator's script.
#[derive(Clone, Copy, Debug, Default)]
pub struct Beside {
    /// What happens to rows that fail.
    pub on_error: Option<OnError>,
    /// Its own lanes.
    pub parallelism: Option<usize>,
}

/// A drawn pipeline and what happens to it.
#[derive(Clone, Debug)]
pub struct Topology {
    /// What it was drawn from.
    pub seed: u64,
    /// Settings of the pipeline.
    pub settings: Settings,
    /// Operators in topological order.
    pub nodes: Vec<Node>,
    /// Edges in the order they are connected.
    pub edges: Vec<(String, String)>,
    /// Options by operator.
    pub beside: BTreeMap<String, Beside>,
    /// What ends it.
    pub end: End,
    /// When epochs are opened from outside.
    pub checkpoints: Vec<Duration>,
    /// How often the engine opens epochs.
    pub every: Option<Duration>,
}

impl Node {
    /// Returns its id.
    pub fn name(&self) -> &str {
        match self {
            Node::Source(script) => &script.name,
            Node::Transform(script) => &script.name,
            Node::Whole(script) => &script.name,
            Node::Sink(script) => &script.name,
        }
    }
}

impl Topology {
    /// Draws the topology of a seed; `spill` is where it may put files.
    pub fn draw(seed: u64, spill: &Path) -> Topology {
        let mut draw = Draw::new(seed, spill);
        draw.sources();
        for _ in 0..draw.random.usize(0..=6) {
            draw.step();
        }
        draw.sinks();
        draw.error_sinks();
        draw.endings();
        draw.troubles();
        draw.topology
    }

    /// Returns the same pipeline without what broke or stopped it, for the run that goes on.
    #[must_use]
    pub fn healed(&self) -> Topology {
        let mut healed = self.clone();
        healed.end = End::Eos;
        for node in &mut healed.nodes {
            match node {
                Node::Source(script) => (script.fail_after, script.endless) = (None, false),
                Node::Transform(script) => script.fail_after = None,
                Node::Whole(script) => script.fail_after = None,
                Node::Sink(script) => script.broken = Broken::Nothing,
            }
        }
        for beside in healed.beside.values_mut() {
            if matches!(beside.on_error, Some(OnError::Fail)) {
                beside.on_error = Some(OnError::Skip);
            }
        }
        healed
    }

    /// Returns the edges into an operator.
    pub fn into(&self, name: &str) -> impl Iterator<Item = &str> {
        self.edges.iter().filter(move |(_, to)| to == name).map(|(from, _)| from.as_str())
    }

    /// Returns the parts of the graph that hold a whole-input operator, each as the names of its operators.
    pub fn held(&self) -> Vec<Vec<&str>> {
        let mut parts: Vec<Vec<&str>> = Vec::new();
        for node in self.nodes.iter().filter(|node| matches!(node, Node::Whole(_))) {
            if !parts.iter().flatten().any(|name| *name == node.name()) {
                parts.push(self.around(node.name()));
            }
        }
        parts
    }

    /// Returns the operators that rows of an operator reach, with itself.
    pub fn below<'a>(&'a self, name: &'a str) -> Vec<&'a str> {
        self.reach(name, |from, to, reached| reached.contains(&from).then_some(to))
    }

    /// Returns the operators whose rows reach an operator, with itself.
    pub fn above<'a>(&'a self, name: &'a str) -> Vec<&'a str> {
        self.reach(name, |from, to, reached| reached.contains(&to).then_some(from))
    }

    /// Returns the operators that hang together with one.
    fn around<'a>(&'a self, name: &'a str) -> Vec<&'a str> {
        self.reach(name, |from, to, reached| match (reached.contains(&from), reached.contains(&to)) {
            (true, false) => Some(to),
            (false, true) => Some(from),
            _ => None,
        })
    }

    /// Follows edges until none leads further.
    fn reach<'a>(
        &'a self,
        name: &'a str,
        follow: impl Fn(&'a str, &'a str, &[&'a str]) -> Option<&'a str>,
    ) -> Vec<&'a str> {
        let mut reached = vec![name];
        let mut before = 0;
        while before != reached.len() {
            before = reached.len();
            for (from, to) in &self.edges {
                let from = from.split('.').next().unwrap_or(from);
                if let Some(next) = follow(from, to, &reached).filter(|next| !reached.contains(next)) {
                    reached.push(next);
                }
            }
        }
        reached
    }
}

/// An output that still needs a reader.
#[derive(Clone, Debug)]
struct Open {
    from: String,
    extras: usize,
    /// Its schema changes on the way.
    changes: bool,
}

struct Draw {
    random: fastrand::Rng,
    topology: Topology,
    open: Vec<Open>,
    /// `errors` outputs that need a reader.
    errors: Vec<String>,
    splits: i64,
    /// Whether rows may be made at the real end of an input only.
    tails: bool,
}

impl Draw {
    fn new(seed: u64, spill: &Path) -> Draw {
        let mut random = fastrand::Rng::with_seed(seed);
        let settings = Settings {
            channel_bytes_max: if random.bool() { ByteSize::kib(1) } else { ByteSize::mib(1) },
            memory_max: ByteSize::kib([64, 256, 65_536][random.usize(..3)]),
            batch_rows_max: random.usize(1..=64),
            parallelism: [1, 1, 2, 4][random.usize(..4)],
            coalesce: random.bool(),
            spill: spill.to_owned(),
            ..Settings::default()
        };
        let topology = Topology {
            seed,
            settings,
            nodes: Vec::new(),
            edges: Vec::new(),
            beside: BTreeMap::new(),
            end: End::Eos,
            checkpoints: Vec::new(),
            every: None,
        };
        let tails = random.u8(..) < 64;
        Draw { random, topology, open: Vec::new(), errors: Vec::new(), splits: 0, tails }
    }

    fn chance(&mut self, of_256: u8) -> bool {
        self.random.u8(..) < of_256
    }

    fn id(&self, letter: char) -> String {
        format!("{letter}{}", self.topology.nodes.len())
    }

    fn salt(&self) -> i64 {
        i64::try_from(self.topology.nodes.len()).unwrap_or(0) + 11
    }

    /// Returns a small number that is often 0.
    fn rate(&mut self, most: u8) -> u8 {
        if self.random.bool() { 0 } else { self.random.u8(..most) }
    }

    fn connect(&mut self, from: &str, to: &str) {
        self.topology.edges.push((from.to_owned(), to.to_owned()));
    }

    /// Draws what happens to rows that fail in an operator.
    fn policy(&mut self, name: &str, rejects: bool) {
        let on_error = match self.random.u8(..) {
            0..8 if rejects => Some(OnError::Fail),
            8..100 if rejects => Some(OnError::Skip),
            100..=255 if rejects => Some(OnError::DeadLetter),
            0..40 => Some(OnError::DeadLetter),
            _ => None,
        };
        if on_error == Some(OnError::DeadLetter) {
            self.errors.push(format!("{name}.errors"));
        }
        self.topology.beside.entry(name.to_owned()).or_default().on_error = on_error;
    }

    fn lanes(&mut self, name: &str) {
        if self.chance(64) {
            let lanes = self.random.usize(1..=self.topology.settings.parallelism);
            self.topology.beside.entry(name.to_owned()).or_default().parallelism = Some(lanes);
        }
    }

    fn sources(&mut self) {
        for _ in 0..self.random.usize(1..=3) {
            let name = self.id('s');
            let splits = self.random.usize(1..=4);
            let changes = self.chance(40);
            let splits: Vec<SplitScript> = (0..splits).map(|_| self.split(changes)).collect();
            let rejects = self.chance(60);
            let script = SourceScript {
                name: name.clone(),
                seed: self.random.u64(..),
                splits,
                rows_max: self.random.i64(1..40),
                extras: self.random.usize(0..2),
                known: self.random.bool(),
                watermarks: self.random.bool(),
                idle: if self.chance(64) { self.random.u8(..128) } else { 0 },
                slow: self.rate(128),
                reject_every: rejects.then(|| self.random.i64(2..30)),
                fail_after: None,
                endless: false,
            };
            self.policy(&name, rejects);
            if script.splits.len() > 1 {
                self.lanes(&name);
            }
            self.open.push(Open { from: name, extras: script.extras, changes });
            self.topology.nodes.push(Node::Source(script));
        }
    }

    fn split(&mut self, changes: bool) -> SplitScript {
        self.splits += 1;
        let rows = if self.chance(30) { 0 } else { self.random.i64(1..120) };
        let change_at = (changes && self.random.bool()).then(|| self.random.i64(0..=rows));
        SplitScript { number: self.splits, rows, change_at }
    }

    /// Takes an output; sometimes it stays open for another reader.
    fn take(&mut self, at: usize) -> Open {
        if self.chance(48) { self.open[at].clone() } else { self.open.swap_remove(at) }
    }

    fn step(&mut self) {
        let at = self.random.usize(..self.open.len());
        match self.random.u8(..10) {
            0..4 => {
                let from = self.take(at);
                let open = self.transform(&[from], None);
                self.open.push(open);
            }
            4..6 => {
                let from = self.take(at);
                for _ in 0..self.random.usize(2..4) {
                    let open = self.transform(std::slice::from_ref(&from), None);
                    self.open.push(open);
                }
            }
            6 => self.merge(at),
            7 => self.diamond(at),
            8 => self.whole(at),
            _ => self.join(at),
        }
    }

    fn transform(&mut self, from: &[Open], action: Option<Action>) -> Open {
        let name = self.id('t');
        let one = &from[0];
        let action = action.unwrap_or_else(|| match self.random.u8(..8) {
            0..3 => Action::Pass,
            3 => Action::Filter(self.random.u64(1..6)),
            4 => Action::Expand(self.random.i64(1..5)),
            5 => Action::Reject(self.random.u64(2..9)),
            6 if one.extras < 2 => Action::Widen,
            7 if self.tails => Action::Tail,
            _ => Action::Pass,
        });
        let script = TransformScript {
            name: name.clone(),
            salt: self.salt(),
            seed: self.random.u64(..),
            action,
            retry: self.rate(64),
            parts: self.rate(128),
            fail_after: None,
            panics: false,
        };
        from.iter().for_each(|open| self.connect(&open.from, &name));
        self.policy(&name, matches!(action, Action::Reject(_)));
        if action != Action::Tail {
            self.lanes(&name);
        }
        self.topology.nodes.push(Node::Transform(script));
        let extras = one.extras + usize::from(action == Action::Widen);
        Open { from: name, extras, changes: from.iter().any(|open| open.changes) }
    }

    /// Merges an output with others of its schema.
    fn merge(&mut self, at: usize) {
        let first = self.take(at);
        let mut merged = vec![first.clone()];
        for _ in 0..self.random.usize(1..3) {
            let fits = |open: &Open| open.extras == first.extras && merged.iter().all(|other| other.from != open.from);
            if let Some(at) = self.open.iter().position(fits) {
                merged.push(self.take(at));
            }
        }
        let open = self.transform(&merged, None);
        self.open.push(open);
    }

    /// Forks an output and merges the branches again, one of them sometimes without an operator.
    fn diamond(&mut self, at: usize) {
        let from = self.take(at);
        let mut branches = Vec::new();
        for _ in 0..self.random.usize(1..4) {
            let action =
                [Action::Pass, Action::Filter(3), Action::Expand(2), Action::Reject(4)][self.random.usize(..4)];
            branches.push(self.transform(std::slice::from_ref(&from), Some(action)));
        }
        if branches.len() == 1 || self.chance(64) {
            branches.push(from);
        }
        let open = self.transform(&branches, None);
        self.open.push(open);
    }

    fn whole(&mut self, at: usize) {
        if self.open[at].changes {
            return;
        }
        let mut inputs = vec![self.take(at)];
        let gather = self.chance(180);
        while gather && inputs.len() < 3 && self.chance(128) {
            let fits = |open: &Open| !open.changes && inputs.iter().all(|other| other.from != open.from);
            let Some(at) = self.open.iter().position(fits) else { break };
            inputs.push(self.take(at));
        }
        self.whole_of(&inputs, if gather { Whole::Gather } else { Whole::Head });
    }

    /// Forks an output and joins the branches: the case that dead-locks without a spool.
    fn join(&mut self, at: usize) {
        if self.open[at].changes {
            return;
        }
        let from = self.take(at);
        let left = self.transform(std::slice::from_ref(&from), Some(Action::Filter(4)));
        let right = if self.random.bool() { from } else { self.transform(&[from], Some(Action::Pass)) };
        let inputs = if self.random.bool() { [left, right] } else { [right, left] };
        self.whole_of(&inputs, Whole::Join);
    }

    fn whole_of(&mut self, inputs: &[Open], whole: Whole) {
        let name = self.id('w');
        inputs.iter().for_each(|open| self.connect(&open.from, &name));
        let script = WholeScript { name: name.clone(), salt: self.salt(), whole, fail_after: None };
        self.topology.nodes.push(Node::Whole(script));
        self.open.push(Open { from: name, extras: 0, changes: false });
    }

    fn sinks(&mut self) {
        while let Some(first) = self.open.pop() {
            let mut into = vec![first.clone()];
            while self.chance(64) {
                let fits =
                    |open: &Open| open.extras == first.extras && into.iter().all(|other| other.from != open.from);
                let Some(at) = self.open.iter().position(fits) else { break };
                into.push(self.open.swap_remove(at));
            }
            let froms: Vec<String> = into.into_iter().map(|open| open.from).collect();
            let rejects = self.chance(60).then(|| self.random.u64(2..9));
            self.sink(&froms, rejects, true);
        }
    }

    fn error_sinks(&mut self) {
        while !self.errors.is_empty() {
            let count = self.random.usize(1..=self.errors.len());
            let froms: Vec<String> = self.errors.drain(..count).collect();
            if self.random.bool() {
                let name = self.id('t');
                froms.iter().for_each(|from| self.connect(from, &name));
                let script = TransformScript {
                    name: name.clone(),
                    salt: self.salt(),
                    seed: self.random.u64(..),
                    action: Action::Raw,
                    retry: 0,
                    parts: 0,
                    fail_after: None,
                    panics: false,
                };
                self.lanes(&name);
                self.topology.nodes.push(Node::Transform(script));
                self.sink(&[name], None, false);
            } else {
                self.sink(&froms, None, false);
            }
        }
    }

    fn sink(&mut self, froms: &[String], reject_every: Option<u64>, policy: bool) {
        let name = self.id('k');
        froms.iter().for_each(|from| self.connect(from, &name));
        if policy {
            self.policy(&name, reject_every.is_some());
        }
        let script = SinkScript {
            name,
            seed: self.random.u64(..),
            many: self.random.bool(),
            slow: self.rate(128),
            reject_every,
            reject_late: self.random.bool(),
            broken: Broken::Nothing,
        };
        self.topology.nodes.push(Node::Sink(script));
    }

    /// Returns a moment of a run, early ones as likely as late ones.
    fn moment(&mut self) -> Duration {
        Duration::from_micros(1 << self.random.u32(0..21)).mul_f64(0.5 + self.random.f64())
    }

    /// Draws what ends the run and how many epochs it has.
    fn endings(&mut self) {
        self.topology.end = match self.random.u8(..) {
            0..60 if !self.tails => End::Drain(self.moment()),
            60..85 => End::Cancel(self.moment()),
            _ => End::Eos,
        };
        if !self.tails && self.chance(100) {
            self.topology.checkpoints = (0..self.random.usize(1..4)).map(|_| self.moment()).collect();
            self.topology.checkpoints.sort();
        }
        if !self.tails && self.chance(30) {
            self.topology.every = Some(Duration::from_micros(self.random.u64(1000..100_000)));
        }
        let held: Vec<String> = self.topology.held().into_iter().flatten().map(str::to_owned).collect();
        let endless = self.topology.end != End::Eos && self.chance(100);
        for node in &mut self.topology.nodes {
            if let Node::Source(script) = node {
                script.endless = endless && !held.contains(&script.name);
            }
        }
    }

    /// Draws whether something breaks. Runs that go on afterwards must not make rows at the end twice, so none breaks then.
    fn troubles(&mut self) {
        if !self.chance(64) {
            return;
        }
        for _ in 0..self.random.usize(1..3) {
            let at = self.random.usize(..self.topology.nodes.len());
            let when = self.random.u64(1..12);
            let panics = self.chance(64);
            let soon = self.random.u64(1..3);
            let tails = self.tails;
            let broken = [
                Broken::Open,
                Broken::Write(when),
                Broken::Prepare(soon),
                Broken::Commit(soon),
                Broken::CommitAnswer(soon),
                Broken::ReaderGone(when),
            ][self.random.usize(..6)];
            match &mut self.topology.nodes[at] {
                Node::Source(script) => script.fail_after = Some(when),
                Node::Transform(script) => (script.fail_after, script.panics) = (Some(when), panics),
                Node::Whole(script) => script.fail_after = Some(when),
                // What ended before the drain would end again.
                Node::Sink(_) if tails && matches!(broken, Broken::ReaderGone(_)) => {}
                Node::Sink(script) => script.broken = broken,
            }
        }
    }
}
