//! The command `stats`.

use clap::Args;
use clap::builder::PossibleValuesParser;
use serde_json::Value;

use crate::api::{Api, Parameters};
use crate::failure::Failure;
use crate::link::Link;
use crate::output::{Output, cell, cut, grouped, number, printable};

const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// The breakdowns: their heading, their field, and the field of a row's value.
const BREAKDOWNS: [(&str, &str, &str); 8] = [
    ("Referrers", "referrers", "referrer"),
    ("Sources", "sources", "source"),
    ("Countries", "countries", "country"),
    ("Devices", "devices", "device"),
    ("Browsers", "browsers", "browser"),
    ("Systems", "systems", "system"),
    ("Languages", "languages", "language"),
    ("Targets", "targets", "target"),
];

#[derive(Debug, Args)]
pub(crate) struct Stats {
    /// Short code or short URL of the link
    code: String,
    /// Time that each point of the series covers
    #[arg(short, long, value_name = "PERIOD", default_value = "day",
          value_parser = PossibleValuesParser::new(["hour", "day", "week", "month"]))]
    per: String,
    /// First day or time, by the clocks of the time zone; 30 days before the end unless given
    #[arg(short, long, value_name = "TIME")]
    from: Option<String>,
    /// End, which is not included; now unless given
    #[arg(short, long, value_name = "TIME")]
    to: Option<String>,
    /// Time zone, such as Europe/Berlin
    #[arg(short = 'z', long, value_name = "ZONE", default_value = "UTC")]
    timezone: String,
    /// Count bots in the series and the breakdowns, too
    #[arg(short, long)]
    bots: bool,
    /// Most rows of each breakdown
    #[arg(long, value_name = "NUMBER", default_value_t = 5)]
    top: usize,
}

impl Stats {
    pub(crate) fn run(&self, api: &Api<'_>, output: &mut Output) -> Result<(), Failure> {
        let link = Link::find(api, &self.code)?;
        let mut parameters = Parameters::default();
        parameters.add("per", &self.per);
        parameters.add_all("from", &self.from);
        parameters.add_all("to", &self.to);
        parameters.add("timezone", &self.timezone);
        if self.bots {
            parameters.add("bots", "include");
        }
        let stats = api.read(&api.get(&parameters.path(&format!("{}/stats", link.path())))?)?;
        let counts = ["humans", "bots", "total"].map(|field| stats[field].as_u64());
        let [Some(people), Some(bots), Some(total)] = counts else { return Err(api.not_tern()) };
        if output.is_json {
            output.line(&stats.to_string())?;
        } else if let Some(width) = output.width {
            output.line(&cut(&format!("{}  {}", link.short_url(), link.text("original_url")), width))?;
            let of = |field: &str| printable(stats[field].as_str().unwrap_or_default()).into_owned();
            output
                .line(&cut(&format!("{} to {}, by {}, {}", of("from"), of("to"), of("per"), of("timezone")), width))?;
            output.line("")?;
            output.line(&format!("people {}   bots {}   all {}", grouped(people), grouped(bots), grouped(total)))?;
            write_series(&stats, width, output)?;
            for (heading, field, value) in BREAKDOWNS {
                self.write_breakdown(heading, &stats[field], value, width, output)?;
            }
        } else {
            // A program reads numbers; `--json` has the rest.
            output.line(&format!("people\t{people}\nbots\t{bots}\ntotal\t{total}"))?;
        }
        output.finish()
    }

    fn write_breakdown(
        &self,
        heading: &str,
        rows: &Value,
        field: &str,
        width: usize,
        output: &mut Output,
    ) -> Result<(), Failure> {
        let rows = rows.as_array().map(Vec::as_slice).unwrap_or_default();
        if rows.is_empty() {
            return Ok(());
        }
        output.line(&format!("\n{heading}"))?;
        let most = rows.iter().filter_map(|row| row["clicks"].as_u64()).max().unwrap_or(1).max(1);
        let name_width = (width / 3).clamp(10, 40);
        for row in rows.iter().take(self.top) {
            let clicks = row["clicks"].as_u64().unwrap_or_default();
            let bar = bar_len(clicks, most, width.saturating_sub(name_width + 16).min(40));
            let name = cell(row[field].as_str().unwrap_or_default(), name_width);
            output.line(format!("  {name} {}  {}", number(clicks, 9), "█".repeat(bar)).trim_end())?;
        }
        if rows.len() > self.top {
            output.line(&format!("  and {} more (--top)", rows.len() - self.top))?;
        }
        Ok(())
    }
}

fn bar_len(clicks: u64, most: u64, width: usize) -> usize {
    (clicks as f64 / most as f64 * width as f64).ceil() as usize
}

/// Writes the series as a line of bars, with the highest point.
fn write_series(stats: &Value, width: usize, output: &mut Output) -> Result<(), Failure> {
    let points = stats["series"].as_array().map(Vec::as_slice).unwrap_or_default();
    let clicks: Vec<u64> = points.iter().map(|point| point["clicks"].as_u64().unwrap_or_default()).collect();
    let Some((at, most)) = clicks.iter().enumerate().max_by_key(|(at, clicks)| (**clicks, usize::MAX - at)) else {
        return Ok(());
    };
    if *most == 0 {
        return Ok(());
    }
    output.line(&sparkline(&clicks, width))?;
    let time = points[at]["at"].as_str().unwrap_or_default();
    output.line(&cut(&format!("at most {} ({time})", grouped(*most)), width))
}

/// Draws a bar for each number. Neighbours are added up where there are more numbers than columns.
fn sparkline(numbers: &[u64], width: usize) -> String {
    let group = numbers.len().div_ceil(width.max(1)).max(1);
    let sums: Vec<u64> = numbers.chunks(group).map(|group| group.iter().sum()).collect();
    let most = sums.iter().copied().max().unwrap_or(0).max(1);
    // Only 0 has the lowest bar, so that a single click shows.
    let bar = |sum: &u64| if *sum == 0 { 0 } else { bar_len(*sum, most, BARS.len() - 1).max(1) };
    sums.iter().map(|sum| BARS[bar(sum).min(BARS.len() - 1)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sparkline_fits_the_width_and_shows_a_single_click() {
        assert_eq!(sparkline(&[0, 1, 50, 100], 80), "▁▂▅█");
        assert_eq!(sparkline(&[1, 1, 0, 0, 2, 2], 3), "▅▁█");
        assert_eq!(sparkline(&[0; 4], 80), "▁▁▁▁");
        assert_eq!(sparkline(&[7; 1000], 80).chars().count(), 77);
        assert_eq!(sparkline(&[], 80), "");
    }
}
