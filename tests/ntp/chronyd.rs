//! A real time server.

use std::fs;
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// chronyd on a port of its own, which leaves the clock alone. It ends with the value.
pub(crate) struct Chronyd {
    process: Child,
    folder: PathBuf,
    port: u16,
}

impl Chronyd {
    pub(crate) fn start() -> Self {
        let folder =
            Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("chronyd-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        // chronyd picks no port by itself, and below 30,000 the system gives none to anybody else.
        let first = u16::try_from(std::process::id() % 10_000).unwrap();
        let mut ports = (0..10_000).map(|next| 20_000 + (first + next) % 10_000);
        let is_free = |port: &u16| UdpSocket::bind(("127.0.0.1", *port)).is_ok();
        let port = ports.find(is_free).expect("a free port");
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
