//! A real time server.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::port::free_port;

/// chronyd on a port of its own, which leaves the clock alone. It ends with the value.
pub(crate) struct Chronyd {
    process: Child,
    folder: PathBuf,
    port: u16,
}

impl Chronyd {
    pub(crate) fn start() -> Self {
        // Not the number of this process: it comes again, and who was killed has left its folder.
        let folder = format!("chronyd-{:016x}", fastrand::u64(..));
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(folder);
        fs::create_dir(&folder).unwrap();
        // chronyd picks none by itself.
        let port = free_port();
        let config = format!(
            "local stratum 5\nport {port}\nbindaddress 127.0.0.1\nallow 127.0.0.0/8\n\
             cmdport 0\nbindcmdaddress /\npidfile {}\n",
            folder.join("pid").display()
        );
        let file = folder.join("chrony.conf");
        fs::write(&file, config).unwrap();
        let mut command = Command::new("chronyd");
        // It is in a folder that not everybody searches.
        let path = std::env::var("PATH").unwrap_or_default();
        command.env("PATH", format!("{path}:/usr/sbin:/sbin"));
        // -d: in the foreground; -x: does not touch the clock; -U: needs no root; -u: stays who it
        // is.
        command.arg("-d").arg("-x").arg("-U").args(["-u", &user()]).arg("-f").arg(&file);
        let process = command
            .stdin(Stdio::null())
            .stderr(fs::File::create(folder.join("log")).unwrap())
            .spawn()
            .expect("chronyd (Debian package chrony) is needed; scripts/setup.sh installs it");
        Self { process, folder, port }
    }

    pub(crate) fn name(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// What it has to say for itself.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }
}

impl Drop for Chronyd {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn user() -> String {
    let id = Command::new("id").arg("-un").output().unwrap();
    String::from_utf8(id.stdout).unwrap().trim().to_owned()
}
