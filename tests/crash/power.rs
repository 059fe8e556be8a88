//! Power cuts: a file system that is shut down at random moments, so that only what was synced is there when it is mounted again.
//! `scripts/power-cuts.sh` makes it and runs these.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::kills::{new_seed, variable};
use crate::model::Model;
use crate::play::{Moment, Played, counter, everything, play};
use crate::script;
use crate::support::{Daemon, Dice, Link, rustcache};

/// A directory sees so many cuts before the next is begun.
const CUTS: u64 = 10;
/// `everysec` promises a second; this leaves another for a slow disk.
const MAY_BE_LOST: Duration = Duration::from_secs(2);

/// Ends what the file system does at once, without writing anything more: FS_IOC_SHUTDOWN with EXT4_GOING_FLAGS_NOLOGFLUSH.
const CUT: &str = "
import fcntl, os, struct, sys
root = os.open(sys.argv[1], os.O_RDONLY)
sys.stdout.write('ready')
sys.stdout.flush()
sys.stdin.read(1)
fcntl.ioctl(root, 0x8004587d, struct.pack('I', 2))
";

/// A mounted file system, and a process that waits for the word to shut it down.
struct Power {
    mount: PathBuf,
    cutter: Mutex<Child>,
    cut_at: Mutex<Option<Instant>>,
}

impl Power {
    fn on(image: &Path, mount: &Path) -> Self {
        run(Command::new("mount").args(["-o", "loop"]).arg(image).arg(mount));
        let mut cutter = Command::new("python3")
            .args(["-c", CUT])
            .arg(mount)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3 starts");
        let mut ready = [0; 5];
        let mut output = cutter.stdout.take().expect("piped");
        std::io::Read::read_exact(&mut output, &mut ready).expect("it is ready");
        Power {
            mount: mount.to_owned(),
            cutter: Mutex::new(cutter),
            cut_at: Mutex::new(None),
        }
    }

    fn cut(&self) {
        let mut cutter = self.cutter.lock().expect("no panic");
        if let Some(mut input) = cutter.stdin.take() {
            *self.cut_at.lock().expect("no panic") = Some(Instant::now());
            input.write_all(b"x").expect("it waits");
        }
    }

    /// When it was cut. Nothing may have a file open any more.
    fn off(self) -> Instant {
        self.cut();
        let status = self.cutter.lock().expect("no panic").wait().expect("it ends");
        assert!(status.success(), "the file system could not be shut down");
        run(Command::new("umount").arg(&self.mount));
        let at = *self.cut_at.lock().expect("no panic");
        at.expect("it was cut")
    }
}

fn run(command: &mut Command) {
    let status = command.status().expect("it starts");
    assert!(status.success(), "{command:?}: {status}");
}

fn path(name: &str) -> PathBuf {
    let path =
        std::env::var_os(name).unwrap_or_else(|| panic!("{name} is not set: use scripts/power-cuts.sh"));
    path.into()
}

#[test]
#[ignore = "needs root and a file system of its own: scripts/power-cuts.sh"]
fn what_was_synced_survives_power_cuts() {
    let cycles = variable("RUSTCACHE_POWER_CYCLES").unwrap_or(10);
    let sync = std::env::var("RUSTCACHE_POWER_SYNC").unwrap_or_else(|_| "always".to_owned());
    let seed = variable("RUSTCACHE_POWER_SEED").unwrap_or_else(new_seed);
    let (image, mount) = (path("RUSTCACHE_POWER_IMAGE"), path("RUSTCACHE_POWER_MOUNT"));
    let mut model = Model::default();
    let mut last: Option<Played> = None;
    let (mut certain, mut others, mut refused) = (0, 0, 0);
    for cycle in 0..=cycles {
        let told = format!("cycle {cycle} of RUSTCACHE_POWER_SEED={seed}");
        let mut dice = Dice((seed ^ cycle << 40) | 1);
        for _ in 0..8 {
            dice.roll();
        }
        let power = Power::on(&image, &mount);
        let directory = |number: u64| mount.join(format!("cache-{number}"));
        let number = cycle.saturating_sub(1) / CUTS;
        let check = directory(number);
        let state = inspected(&check);
        let mut daemon = start(&check, &sync);
        if let Some(played) = last.take() {
            let (found, asked) = everything(&mut daemon);
            let settled = model.settle(found, played.acknowledged, &played.times, asked);
            settled.unwrap_or_else(|wrong| panic!("{told}: {wrong}\n{state}"));
            if sync == "always" {
                for name in ["damaged_files", "dropped_records"] {
                    assert_eq!(counter(&mut daemon, name), 0, "{told}: {name}\n{state}");
                }
            }
        }
        if cycle / CUTS != number {
            kill(daemon);
            fs::remove_dir_all(check).expect("removed");
            model = Model::default();
            daemon = start(&directory(cycle / CUTS), &sync);
        }
        if cycle == cycles {
            kill(daemon);
            power.off();
            break;
        }
        let (mut played, cut_at) = one_cut(daemon, power, &sync, &mut model, &mut dice)
            .unwrap_or_else(|wrong| panic!("{told}: {wrong}"));
        // Nothing is acknowledged after a real cut. After this one the kernel lets an fdatasync succeed now and then that was under way.
        let before = match &sync[..] {
            "always" => Duration::ZERO,
            _ => MAY_BE_LOST,
        };
        let times = &played.times.acknowledged;
        played.acknowledged = times.partition_point(|&at| at + before <= cut_at);
        certain += played.acknowledged;
        others += played.times.sent.len() - played.acknowledged;
        refused += u32::from(played.refused.is_some());
        last = Some(played);
    }
    eprintln!(
        "{cycles} power cuts with --sync {sync}, seed {seed}: {certain} acknowledged writes had to survive and did, {others} \
         others were under way, {refused} cuts were noticed by a write"
    );
    assert!(certain > 10 * usize::try_from(cycles).expect("few"));
}

fn start(directory: &Path, sync: &str) -> Daemon {
    let directory = directory.to_str().expect("text");
    let arguments = ["--dir", directory, "--sync", sync, "--snapshot-after", "64kib"];
    Daemon::greeted(Link::Sockets, &arguments, &[("RUSTCACHE_LOG_LEVEL", "off")])
}

/// What is in a directory, for whoever has to find out what went wrong.
fn inspected(directory: &Path) -> String {
    let mut command = rustcache(&["inspect", directory.to_str().expect("text")], &[]);
    let output = command.output().expect("it runs");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn kill(mut daemon: Daemon) {
    daemon.signal(Signal::KILL);
    daemon.wait();
}

fn one_cut(
    mut daemon: Daemon,
    power: Power,
    sync: &str,
    model: &mut Model,
    dice: &mut Dice,
) -> Result<(Played, Instant), String> {
    // What is acknowledged seconds before the cut takes seconds to write.
    let (count, pace) = match sync {
        "always" => (50 + dice.below(500), Duration::ZERO),
        _ => (4_000, Duration::from_millis(10)),
    };
    let at = 1 + dice.below(count);
    let snapshots = match dice.below(2) {
        0 => vec![],
        _ => vec![at.saturating_sub(dice.below(10)).max(1)],
    };
    let steps = script::write(model, dice.roll(), count, &snapshots);
    let moment = match sync {
        "always" if dice.below(2) == 0 => {
            let bytes: usize = steps[..at].iter().map(|step| step.frame.len()).sum();
            Moment::Bytes(bytes - dice.below(steps[at - 1].frame.len()))
        }
        "always" => Moment::Replies(at),
        _ => Moment::Time(MAY_BE_LOST + Duration::from_millis(dice.below(2_000) as u64)),
    };
    let pid = daemon.pid();
    let ends = sync != "always";
    let mut played = play(&mut daemon, &steps, moment, pace, dice, &|| {
        power.cut();
        if ends {
            // The rest of a long script is of no interest.
            let _ = rustix::process::kill_process(pid, Signal::KILL);
        }
    })?;
    let _ = rustix::process::kill_process(pid, Signal::KILL);
    daemon.wait();
    let cut_at = power.off();
    played.times.died = Instant::now();
    Ok((played, cut_at))
}
