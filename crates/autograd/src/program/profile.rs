//! Where the time of programs goes: by kind of instruction, by instruction, by line of source.

use super::Watching;
use super::code::{Block, Instr};
use super::listing::{Instruction, ProgramView};
use super::trace::{Values, Watch};
use crate::error::Result;
use crate::origin::Pass;
use crate::tape::Tape;
use std::collections::HashMap;
use std::fmt;
use std::panic::Location;
use std::time::{Duration, Instant};

impl Tape {
    /// The same tape, on which every program that runs is timed, instruction by instruction; [`profile`](Tape::profile) tells.
    ///
    /// Programs are planned anew, because their instructions are tied to this recording, and for one thread; loops run instruction by
    /// instruction. So a step of a very small cell looks slower than it is: checks and clocks cost each instruction some
    /// 100 ns here.
    ///
    /// ```
    /// use wengert_autograd::{DType, Tape, Tensor};
    /// let tape = Tape::new().profiled();
    /// let x = tape.var(Tensor::full([64, 64], 0.1, DType::F32));
    /// let loss = x.matmul(x).tanh().sum();
    /// loss.backward()?;
    /// let profile = tape.profile();
    /// assert!(profile.by_kind().iter().any(|entry| entry.name == "matmul" && entry.calls == 3));
    /// println!("{profile}");
    /// # Ok::<(), wengert_autograd::Error>(())
    /// ```
    pub fn profiled(mut self) -> Tape {
        self.watching = Watching::Time(Default::default());
        self
    }

    /// The times of all programs that have run on this tape so far; empty if it is not [profiled](Tape::profiled).
    pub fn profile(&self) -> Profile {
        match &self.watching {
            Watching::Time(profile) => profile.borrow().clone(),
            _ => Profile::default(),
        }
    }
}

/// The times of the instructions of some runs.
#[derive(Clone, Debug, Default)]
pub struct Profile {
    /// Programs that have run.
    pub runs: u64,
    /// The time of planning, which other tapes save by keeping programs.
    pub planning: Duration,
    /// The time of running, from the first instruction to the last, with the work of timing.
    pub running: Duration,
    rows: Vec<Row>,
}

/// The time of one instruction, without that of the instructions inside of a loop.
#[derive(Clone, Debug)]
struct Row {
    kind: &'static str,
    name: String,
    /// The lines of its operations, with the pass that recorded them.
    lines: Vec<(Pass, &'static Location<'static>)>,
    calls: u64,
    time: Duration,
    flops: u64,
}

/// One line of a table of a [`Profile`].
#[derive(Clone, Debug)]
pub struct ProfileEntry {
    /// The kind, the instruction, or the line of source.
    pub name: String,
    /// The passes that recorded what ran, earliest first.
    pub passes: Vec<Pass>,
    /// Executions.
    pub calls: u64,
    /// Their time together.
    pub time: Duration,
    /// Their floating-point operations together.
    pub flops: u64,
}

impl ProfileEntry {
    /// Floating-point operations a second, in 10⁹.
    pub fn gflops(&self) -> f64 {
        let nanos = self.time.as_nanos();
        if nanos == 0 { 0.0 } else { self.flops as f64 / nanos as f64 }
    }
}

impl Profile {
    /// Adds the times of another profile, of the next step of a training loop for example.
    pub fn add(&mut self, other: &Profile) {
        self.runs += other.runs;
        self.planning += other.planning;
        self.running += other.running;
        for row in &other.rows {
            let same = |own: &&mut Row| own.kind == row.kind && own.name == row.name && own.lines == row.lines;
            match self.rows.iter_mut().find(same) {
                Some(own) => {
                    own.calls += row.calls;
                    own.time += row.time;
                    own.flops += row.flops;
                }
                None => self.rows.push(row.clone()),
            }
        }
    }

    /// The time by kind of instruction, longest first. That of a `loop` is what its steps need beyond their instructions.
    pub fn by_kind(&self) -> Vec<ProfileEntry> {
        self.table(|row| vec![(row.kind.to_string(), row.lines.iter().map(|(pass, _)| *pass).collect())])
    }

    /// The time by instruction, longest first: fused groups, single products, reductions, ..
    pub fn by_instruction(&self) -> Vec<ProfileEntry> {
        self.table(|row| {
            let mut name = row.name.clone();
            if let Some((_, at)) = row.lines.first() {
                name += &format!("  {}:{}", at.file(), at.line());
            }
            if row.lines.len() > 1 {
                name += &format!(" +{}", row.lines.len() - 1);
            }
            vec![(name, row.lines.iter().map(|(pass, _)| *pass).collect())]
        })
    }

    /// The time by line of source, longest first. What was fused from several operations counts in equal parts to
    /// their lines; what a derivative needs counts to the line that is differentiated.
    pub fn by_line(&self) -> Vec<ProfileEntry> {
        self.table(|row| {
            row.lines.iter().map(|(pass, at)| (format!("{}:{}", at.file(), at.line()), vec![*pass])).collect()
        })
    }

    /// Sums rows; `keys` are the entries among which a row is divided.
    fn table(&self, keys: impl Fn(&Row) -> Vec<(String, Vec<Pass>)>) -> Vec<ProfileEntry> {
        let mut found: HashMap<String, ProfileEntry> = HashMap::new();
        for row in &self.rows {
            let keys = keys(row);
            let parts = keys.len().max(1) as u32;
            let mut counted: Vec<String> = Vec::new();
            for (name, passes) in keys {
                let new =
                    ProfileEntry { name: name.clone(), passes: Vec::new(), calls: 0, time: Duration::ZERO, flops: 0 };
                let entry = found.entry(name.clone()).or_insert(new);
                entry.time += row.time / parts;
                entry.flops += row.flops / u64::from(parts);
                if !counted.contains(&name) {
                    entry.calls += row.calls;
                    counted.push(name);
                }
                entry.passes.extend(passes);
                entry.passes.sort_unstable();
                entry.passes.dedup();
            }
        }
        let mut all: Vec<ProfileEntry> = found.into_values().collect();
        all.sort_by(|a, b| b.time.cmp(&a.time).then_with(|| a.name.cmp(&b.name)));
        all
    }

    pub(super) fn of(view: &ProgramView, clock: Clock, planning: Duration) -> Profile {
        let rows = view.instructions.iter().filter_map(|instruction| {
            let (calls, time) = clock.times.get(&instruction.key)?;
            let flops = if instruction.steps.is_some() { 0 } else { instruction.flops * calls };
            let lines = instruction.operations.iter().map(|operation| (operation.pass, operation.at)).collect();
            let name = instruction.summary();
            Some(Row { kind: instruction.kind, name, lines, calls: *calls, time: *time, flops })
        });
        let mut profile = Profile { runs: 1, planning, running: clock.whole, rows: Vec::new() };
        profile.add(&Profile { rows: rows.collect(), ..Profile::default() });
        profile
    }
}

impl Instruction {
    /// What it does in a few words: `fused 3: tanh mul add [20, 80]`.
    pub fn summary(&self) -> String {
        const MOST: usize = 6;
        let names: Vec<&str> = self.operations.iter().take(MOST).map(|operation| operation.name).collect();
        let more = if self.operations.len() > MOST { " .." } else { "" };
        let shape = self.operations.last().map(|operation| operation.shape.to_string()).unwrap_or_default();
        match (self.kind, self.steps) {
            (_, Some(steps)) => format!("loop of {steps} steps"),
            ("copy", _) => format!("copy for {}", names.join(" ")),
            ("elementwise", _) if names.len() > 1 => {
                format!("fused {}: {}{more} {shape}", self.operations.len(), names.join(" "))
            }
            _ => format!("{} {shape}", names.join(" ")),
        }
    }
}

/// Times the instructions of a run.
pub(super) struct Clock {
    started: Instant,
    whole: Duration,
    /// The instructions that are running, outermost first: start, and time of the instructions inside.
    running: Vec<(Instant, Duration)>,
    /// Executions and own time, by block and instruction.
    times: HashMap<(usize, usize), (u64, Duration)>,
}

impl Clock {
    pub(super) fn start() -> Clock {
        Clock { started: Instant::now(), whole: Duration::ZERO, running: Vec::new(), times: HashMap::new() }
    }

    pub(super) fn stop(&mut self) {
        self.whole = self.started.elapsed();
    }
}

impl Watch for Clock {
    fn before(&mut self, _: &Block, _: usize) {
        self.running.push((Instant::now(), Duration::ZERO));
    }

    fn after(&mut self, block: &Block, at: usize, _: &Values<'_, '_>) -> Result<()> {
        let now = Instant::now();
        let Some((start, inside)) = self.running.pop() else { return Ok(()) };
        let whole = now - start;
        let entry = self.times.entry((std::ptr::from_ref(block).addr(), at)).or_default();
        entry.0 += 1;
        entry.1 += whole.saturating_sub(inside);
        if let Some((_, inside)) = self.running.last_mut() {
            // Of the work of timing, what came since the clock was read counts to the loop around.
            *inside += whole;
        }
        debug_assert!(inside.is_zero() || matches!(block.code[at], Instr::Loop(_)));
        Ok(())
    }

    fn step(&mut self, _: usize) {}
}

impl fmt::Display for Profile {
    /// Three tables; `{:#}` prints all of their lines, `{}` the longest times.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const LINES: usize = 12;
        let ms = |time: Duration| time.as_secs_f64() * 1e3;
        writeln!(
            f,
            "{} program{}: {:.3} ms running, {:.3} ms planning",
            self.runs,
            if self.runs == 1 { "" } else { "s" },
            ms(self.running),
            ms(self.planning)
        )?;
        let whole: Duration = self.rows.iter().map(|row| row.time).sum();
        let tables =
            [("by kind", self.by_kind()), ("by instruction", self.by_instruction()), ("by line", self.by_line())];
        for (title, entries) in tables {
            writeln!(
                f,
                "\n{:>10} {:>6} {:>9} {:>9}  {:<17} {title}",
                "ms", "share", "calls", "GFLOP/s", "recorded by"
            )?;
            let shown = if f.alternate() { entries.len() } else { LINES };
            for entry in entries.iter().take(shown) {
                let share = 100.0 * entry.time.as_secs_f64() / whole.as_secs_f64().max(f64::MIN_POSITIVE);
                let passes: Vec<String> = entry.passes.iter().map(Pass::to_string).collect();
                let rate = if entry.flops > 0 { format!("{:.2}", entry.gflops()) } else { "-".to_string() };
                writeln!(
                    f,
                    "{:>10.4} {share:>5.1}% {:>9} {rate:>9}  {:<17} {}",
                    ms(entry.time),
                    entry.calls,
                    passes.join("+"),
                    entry.name
                )?;
            }
            if entries.len() > shown {
                let rest: Duration = entries[shown..].iter().map(|entry| entry.time).sum();
                writeln!(f, "{:>10.4} in {} more", ms(rest), entries.len() - shown)?;
            }
        }
        Ok(())
    }
}
