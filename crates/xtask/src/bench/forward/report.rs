//! The table.

use std::fmt::Write as _;

use super::client::Sample;
use super::ways::Way;

/// All samples of a way.
#[derive(Debug)]
pub struct Row {
    pub way: Way,
    pub samples: Vec<Sample>,
    pub refusal_ms: Option<f64>,
}

impl Row {
    /// The middle one of all samples.
    pub fn median(&self, of: impl Fn(&Sample) -> f64) -> f64 {
        let mut values: Vec<f64> = self.samples.iter().map(of).collect();
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
    }

    /// The middle one of all ratios to a row that was measured in the same rounds.
    fn ratio(&self, to: &Self, of: impl Fn(&Sample) -> f64) -> f64 {
        let mut ratios: Vec<f64> =
            self.samples.iter().zip(&to.samples).map(|(mine, its)| of(mine) / of(its)).collect();
        ratios.sort_by(f64::total_cmp);
        ratios.get(ratios.len() / 2).copied().unwrap_or(f64::NAN)
    }

    /// The largest: what was taken in one round is at hand in the next one.
    fn most(&self, of: impl Fn(&Sample) -> f64) -> f64 {
        self.samples.iter().map(of).fold(0.0, f64::max)
    }

    fn always(&self, of: impl Fn(&Sample) -> bool) -> bool {
        self.samples.iter().all(of)
    }
}

/// A page in Markdown.
pub fn render(rows: &[Row], rounds: usize, machine: &[(String, String)]) -> String {
    let mut text = String::from(
        "# Forwarded ports, measured\n\nWritten by `cargo xtask bench forward`. Ratios are to `direct` of the same round; \
         each figure is the median of all rounds, in which the ways take turns.\n\n",
    );
    let _ = writeln!(
        text,
        "| | p50 of a new connection / direct | conn/s / direct | bulk up / direct | bulk down / direct | CPU s per GB \
         up / down | kB per idle connection | half-close | reset kept up / down | refused without a container |\n\
         |---|--|--|--|--|--|--|--|--|--|"
    );
    let direct = rows.iter().find(|row| row.way == Way::Direct);
    for row in rows {
        let _ = writeln!(text, "{}", line(row, direct.unwrap_or(row)));
    }
    if let Some(direct) = direct {
        let _ = writeln!(
            text,
            "\nDirect: {:.0} µs, {:.0} connections/s, {:.0} MB/s up, {:.0} MB/s down.",
            direct.median(|s| s.connection_us),
            direct.median(|s| s.connections_per_second),
            direct.median(|s| s.up),
            direct.median(|s| s.down)
        );
    }
    let _ = writeln!(text, "\n## The machine\n\n| | |\n|--|--|");
    for (what, value) in machine {
        let _ = writeln!(text, "| {what} | {value} |");
    }
    let _ = writeln!(text, "| rounds | {rounds} |");
    text.push_str(NOTES);
    text
}

fn line(row: &Row, direct: &Row) -> String {
    let ratio = |of: fn(&Sample) -> f64| format!("{:.2}", row.ratio(direct, of));
    let in_between = !matches!(row.way, Way::Direct | Way::Kernel);
    let cpu = format!("{:.2} / {:.2}", row.median(|s| s.cpu_up), row.median(|s| s.cpu_down));
    let yes = |is: bool| if is { "yes" } else { "no" };
    let cells = [
        row.way.title().to_owned(),
        ratio(|s| s.connection_us),
        ratio(|s| s.connections_per_second),
        ratio(|s| s.up),
        ratio(|s| s.down),
        if in_between { cpu } else { "-".into() },
        if row.way.idle() > 0 { format!("{:.1}", row.most(|s| s.idle_kb)) } else { "-".into() },
        if row.always(|s| s.half_close) { "ok".into() } else { "**loses**".into() },
        format!("{} / {}", yes(row.always(|s| s.reset_up)), yes(row.always(|s| s.reset_down))),
        match row.refusal_ms {
            _ if !in_between => "-".into(),
            Some(ms) => format!("{ms:.1} ms"),
            None => "not within 20 s".into(),
        },
    ];
    format!("| {} |", cells.join(" | "))
}

const NOTES: &str = "
## How it is measured, and what is not comparable

- Clients and forwarder are in one network namespace, the server in another one, with a veth pair between them: clients
  reach the forwarder over the loopback of the host, and the container directly over the veth pair. All of them share the
  processors above, so that what one needs the others do not get; on a network the ratios would be nearer to 1.
- A new connection: connect, two bytes there, one byte back, one after the other. conn/s: the same with eight clients side by
  side; the server ends first.
- CPU is that of the forwarding process and its children, the kernel's work in their name included, from `schedstat`. What the
  kernel does for a way in interrupts of others is in nobody's figure; the nft map has no process and costs there.
- Memory is `Pss` with and without 1000 idle connections (socat: 200, one process for each) that have carried one byte, the
  largest of all rounds; what the kernel holds for sockets is in nobody's figure.
- Without a container: ours knows from Docker's events that there is none. The others are told an address where nobody is, and
  find out by themselves; their figure is the connect time-out of their configuration or of the kernel.
- socat starts a process for each connection by design. docker-proxy is what Docker itself uses for connections from the host.
";
