//! A trace as a text file, so that others can play it too: real nodes, or another program.
//!
//! A line says one thing, and its words are divided by single spaces. A line that begins
//! with `#` is a comment. Times are in milliseconds. First what there is, then what
//! happens, in the order of time:
//!
//! ```text
//! thorp-trace 1                        the format
//! length 35000                         how long it lasts
//! keep 86400000                        for how long online a machine keeps what it fetched
//! machine 0 region 0                   each machine, from 0 on
//! machine 1 region 0 free-rider        it lists nothing
//! file 0 region 0 owner 1              each file, from 0 on, and which machine has it first
//! 0 appears 0                          a file is there, at its owner
//! 0 online 1                           a machine's peer starts
//! 5230 asks 1 0 path                   its user asks for file 0; or base-name, or folder
//! 9000 offline 1 goodbye               its peer ends; or crash
//! 9500 retires 0                       a file is deleted wherever it is
//! 9600 cut-off 0                       a region is cut off from all others
//! 9700 joined 0                        that is over
//! 9750 poisons 1 0 absent              it lists what it does not have; or corrupt, or forged
//! 9800 tracker-gone                    the tracker loses its power
//! 9900 tracker-back                    it is back, and has forgotten all
//! ```

use std::fmt::Write;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::trace::{
    Departure, FileId, Incident, Machine, Origin, Poison, Region, Settled, Trace, Wording,
};

const FORMAT: &str = "thorp-trace 1";

/// Writes a trace as text. Times are cut to milliseconds.
pub fn write(trace: &Trace) -> String {
    let mut text = format!(
        "{FORMAT}\nlength {}\nkeep {}\n",
        trace.length.as_millis(),
        trace.keep.as_millis()
    );
    for (number, machine) in trace.machines.iter().enumerate() {
        let free_rider = if machine.is_free_rider {
            " free-rider"
        } else {
            ""
        };
        let _ = writeln!(
            text,
            "machine {number} region {}{free_rider}",
            machine.region.0
        );
    }
    for (number, file) in trace.files.iter().enumerate() {
        let _ = writeln!(
            text,
            "file {number} region {} owner {}",
            file.region.0, file.owner.0
        );
    }
    for (at, event) in &trace.events {
        let _ = writeln!(text, "{} {}", at.as_millis(), words(*event));
    }
    text
}

fn words(event: Incident) -> String {
    match event {
        Incident::Online(machine) => format!("online {}", machine.0),
        Incident::Offline(machine, how) => format!("offline {} {}", machine.0, departure(how)),
        Incident::Appears(file) => format!("appears {}", file.0),
        Incident::Retires(file) => format!("retires {}", file.0),
        Incident::Asks(machine, file, by) => {
            format!("asks {} {} {}", machine.0, file.0, wording(by))
        }
        Incident::CutOff(region) => format!("cut-off {}", region.0),
        Incident::Joined(region) => format!("joined {}", region.0),
        Incident::Poisons(machine, file, how) => {
            format!("poisons {} {} {}", machine.0, file.0, poison(how))
        }
        Incident::TrackerGone => "tracker-gone".to_owned(),
        Incident::TrackerBack => "tracker-back".to_owned(),
    }
}

fn departure(how: Departure) -> &'static str {
    match how {
        Departure::Goodbye => "goodbye",
        Departure::Crash => "crash",
    }
}

fn poison(how: Poison) -> &'static str {
    match how {
        Poison::Absent => "absent",
        Poison::Corrupt => "corrupt",
        Poison::Forged => "forged",
    }
}

fn wording(by: Wording) -> &'static str {
    match by {
        Wording::Path => "path",
        Wording::BaseName => "base-name",
        Wording::Folder => "folder",
    }
}

/// Reads a trace. An error says in which line what was wrong.
pub fn read(text: &str) -> Result<Trace> {
    let lines = (1..).zip(text.lines());
    let mut lines = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    let first = lines.next().map(|(_, line)| line);
    ensure!(first == Some(FORMAT), "it does not begin with {FORMAT:?}");
    let mut trace = Trace {
        machines: Vec::new(),
        files: Vec::new(),
        events: Vec::new(),
        length: Duration::ZERO,
        keep: Duration::ZERO,
    };
    for (number, line) in lines {
        let words: Vec<&str> = line.split(' ').collect();
        take(&mut trace, &words).with_context(|| format!("line {number}: {line:?}"))?;
    }
    Ok(trace)
}

fn take(trace: &mut Trace, words: &[&str]) -> Result<()> {
    match words {
        ["length", millis] => trace.length = Duration::from_millis(number(millis)?),
        ["keep", millis] => trace.keep = Duration::from_millis(number(millis)?),
        ["machine", machine, "region", region, rest @ ..] => {
            ensure!(
                number::<usize>(machine)? == trace.machines.len(),
                "another one comes next"
            );
            ensure!(matches!(rest, [] | ["free-rider"]), "words too many");
            trace.machines.push(Settled {
                region: Region(number(region)?),
                is_free_rider: !rest.is_empty(),
            });
        }
        ["file", file, "region", region, "owner", owner] => {
            ensure!(
                number::<usize>(file)? == trace.files.len(),
                "another one comes next"
            );
            trace.files.push(Origin {
                region: Region(number(region)?),
                owner: machine(trace, owner)?,
            });
        }
        [at, event @ ..] => {
            let at = Duration::from_millis(number(at)?);
            let last = trace
                .events
                .last()
                .map_or(Duration::ZERO, |(last, _)| *last);
            ensure!(
                last <= at && at <= trace.length,
                "not in the order of time, or after the end"
            );
            let event = incident(trace, event)?;
            trace.events.push((at, event));
        }
        [] => {}
    }
    Ok(())
}

fn incident(trace: &Trace, words: &[&str]) -> Result<Incident> {
    Ok(match words {
        ["online", at] => Incident::Online(machine(trace, at)?),
        ["offline", at, "goodbye"] => Incident::Offline(machine(trace, at)?, Departure::Goodbye),
        ["offline", at, "crash"] => Incident::Offline(machine(trace, at)?, Departure::Crash),
        ["appears", of] => Incident::Appears(file(trace, of)?),
        ["retires", of] => Incident::Retires(file(trace, of)?),
        ["asks", at, of, by] => {
            let by = match *by {
                "path" => Wording::Path,
                "base-name" => Wording::BaseName,
                "folder" => Wording::Folder,
                other => bail!("nothing is asked for by {other:?}"),
            };
            Incident::Asks(machine(trace, at)?, file(trace, of)?, by)
        }
        ["cut-off", region] => Incident::CutOff(Region(number(region)?)),
        ["joined", region] => Incident::Joined(Region(number(region)?)),
        ["poisons", at, of, how] => {
            let how = match *how {
                "absent" => Poison::Absent,
                "corrupt" => Poison::Corrupt,
                "forged" => Poison::Forged,
                other => bail!("no file is poisoned by {other:?}"),
            };
            Incident::Poisons(machine(trace, at)?, file(trace, of)?, how)
        }
        ["tracker-gone"] => Incident::TrackerGone,
        ["tracker-back"] => Incident::TrackerBack,
        _ => bail!("nothing of that kind happens"),
    })
}

fn machine(trace: &Trace, word: &str) -> Result<Machine> {
    let machine = Machine(number(word)?);
    ensure!(
        machine.index() < trace.machines.len(),
        "there is no machine {word}"
    );
    Ok(machine)
}

fn file(trace: &Trace, word: &str) -> Result<FileId> {
    let file = FileId(number(word)?);
    ensure!(file.index() < trace.files.len(), "there is no file {word}");
    Ok(file)
}

fn number<N: FromStr>(word: &str) -> Result<N> {
    let number = word.parse().ok();
    number.with_context(|| format!("{word:?} is no such number"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario;
    use crate::workload::Workload;

    #[test]
    fn what_is_written_is_read_as_it_was_to_the_millisecond() {
        let workload = Workload {
            regions: 2,
            machines: 20,
            names: 30,
            free_riders: 0.3,
            length: Duration::from_hours(2),
            ..Workload::reference()
        };
        let mut trace = workload.trace(3);
        let hour = Duration::from_hours(1);
        scenario::cut_off(&mut trace, Region(1), hour, Duration::from_mins(1));
        scenario::without_tracker(&mut trace, hour, Duration::from_mins(10));
        scenario::poison(&mut trace, hour, 2, 5, Poison::Forged);
        let text = write(&trace);
        let again = read(&text).expect("a trace");
        assert_eq!(write(&again), text);
        assert_eq!(again.machines, trace.machines);
        assert_eq!(again.files, trace.files);
        assert_eq!(again.events.len(), trace.events.len());
        for ((at, event), (then, was)) in again.events.iter().zip(&trace.events) {
            assert_eq!((at.as_millis(), event), (then.as_millis(), was));
        }
    }

    #[test]
    fn a_line_that_makes_no_sense_is_named() {
        let begin = format!("{FORMAT}\nlength 10\nmachine 0 region 0\nfile 0 region 0 owner 0\n");
        assert!(read(&begin).is_ok());
        for (line, why) in [
            ("11 online 0", "after the end"),
            ("5 online 1", "no machine 1"),
            ("5 asks 0 1 path", "no file 1"),
            ("5 asks 0 0 heart", "by \"heart\""),
            ("5 sleeps 0", "nothing of that kind"),
            ("x online 0", "\"x\" is no such number"),
            ("machine 2 region 0", "another one comes next"),
        ] {
            let error = read(&format!("{begin}{line}\n")).expect_err(line);
            let said = format!("{error:#}");
            assert!(said.contains("line 5") && said.contains(why), "{said}");
        }
        assert!(read("thorp-trace 2\n").is_err());
    }
}
