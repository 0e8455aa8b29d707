//! Fetches the programs of the parts from Maven Central, once, into a cache folder.
//!
//! `docker/embedded/pom.xml` names what and in which version, and is part of this binary. A part is
//! put together beside its final place and then renamed, under a lock: it is there completely or
//! not at all, for any number of processes at once. A changed pom or platform is another folder.

use std::{
    env,
    fs::{self, File, TryLockError},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, bail};

use super::{
    child::Process,
    fingerprint,
    launcher::{Launcher, find_program},
};

const POM: &str = include_str!("../../../docker/embedded/pom.xml");
/// A slow network is no reason to give up.
const MAVEN_PATIENCE: Duration = Duration::from_mins(20);
const LOCK_POLL: Duration = Duration::from_millis(200);

/// Which parts a caller wants; what it has already is not fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Needs {
    /// `DATABASE_URL` is not set.
    pub postgres: bool,
    /// `KAFKA_BROKER` is not set.
    pub kafka: bool,
}

/// Where the fetched parts are.
#[derive(Debug, Clone)]
pub struct Parts {
    postgres: Option<PathBuf>,
    kafka: Option<PathBuf>,
}

impl Parts {
    /// Finds the parts in the cache, and fetches what is missing with `mvn`. `report` hears about
    /// steps that take a while.
    pub async fn fetch(needs: Needs, report: &(dyn Fn(&str) + Sync)) -> anyhow::Result<Self> {
        let (mut postgres, mut kafka) = (None, None);
        if needs.postgres || needs.kafka {
            let cache = Cache::open()?;
            if needs.postgres {
                postgres = Some(cache.part("postgres", "DATABASE_URL", report).await?);
            }
            if needs.kafka {
                kafka = Some(cache.part("kafka", "KAFKA_BROKER", report).await?);
            }
        }
        Ok(Self { postgres, kafka })
    }

    /// The folder with `bin/postgres`.
    pub(super) fn postgres(&self) -> anyhow::Result<&Path> {
        self.postgres.as_deref().context("Postgres is not among the parts that were fetched")
    }

    /// The folder with `libs/*.jar`.
    pub(super) fn kafka(&self) -> anyhow::Result<&Path> {
        self.kafka.as_deref().context("Kafka is not among the parts that were fetched")
    }
}

/// The version that the pom gives a part.
pub(super) fn version(part: &str) -> &'static str {
    let rest = POM.split_once(&format!("<{part}.version>")).map(|(_, rest)| rest);
    rest.and_then(|rest| rest.split_once('<')).expect("the pom names the version of each part").0
}

/// The folder of one pom and platform.
struct Cache {
    folder: PathBuf,
    platform: &'static str,
}

impl Cache {
    fn open() -> anyhow::Result<Self> {
        let platform = match (env::consts::OS, env::consts::ARCH) {
            ("linux", "x86_64") => "linux-amd64",
            ("linux", "aarch64") => "linux-arm64v8",
            ("macos", "x86_64") => "darwin-amd64",
            ("macos", "aarch64") => "darwin-arm64v8",
            (system, processor) => bail!(
                "there is no embedded Postgres for {system} on {processor}: set DATABASE_URL and \
                 KAFKA_BROKER to servers of your own"
            ),
        };
        let folder = root()?.join(fingerprint(format!("{platform}\n{POM}").as_bytes()));
        Ok(Self { folder, platform })
    }

    /// The folder of the part `name`; `variable` is what replaces the part.
    async fn part(
        &self,
        name: &str,
        variable: &str,
        report: &(dyn Fn(&str) + Sync),
    ) -> anyhow::Result<PathBuf> {
        let part = self.folder.join(name);
        if part.is_dir() {
            return Ok(part); // complete, because it got its name last
        }
        let cannot = || format!("cannot write the cache folder {}", self.folder.display());
        fs::create_dir_all(&self.folder).with_context(cannot)?;
        let lock = File::create(self.folder.join("lock")).with_context(cannot)?;
        let mut has_reported = false;
        while let Err(error) = lock.try_lock() {
            match error {
                TryLockError::Error(error) => return Err(error).with_context(cannot),
                TryLockError::WouldBlock if !has_reported => {
                    report("waiting for another process that fetches the same parts");
                    has_reported = true;
                }
                TryLockError::WouldBlock => tokio::time::sleep(LOCK_POLL).await,
            }
        }
        if part.is_dir() {
            return Ok(part);
        }
        let building = self.folder.join(format!("{name}.building"));
        if building.exists() {
            fs::remove_dir_all(&building).with_context(cannot)?; // of a run that was killed
        }
        fs::create_dir(&building).with_context(cannot)?;
        report(&format!("fetching {name} {} from Maven Central, once", version(name)));
        self.build(name, variable, &building).await?;
        fs::rename(building.join(name), &part).with_context(cannot)?;
        fs::remove_dir_all(&building).with_context(cannot)?;
        Ok(part)
    }

    /// Leaves the part in `building/<name>`.
    async fn build(&self, name: &str, variable: &str, building: &Path) -> anyhow::Result<()> {
        let launcher = Launcher::get()?;
        let maven = find_program("mvn").with_context(|| {
            format!("{name} is fetched with Maven, which is missing: install it, or set {variable}")
        })?;
        let pom = building.join("pom.xml");
        fs::write(&pom, POM).with_context(|| format!("cannot write {}", pom.display()))?;
        let mut command = launcher.command_as_ourselves(&maven);
        command
            .args([
                "--batch-mode",
                "--quiet",
                "--no-transfer-progress",
                "-Dstyle.color=never",
                "--file",
            ])
            .arg(pom);
        command.arg(format!("-P{name}")).arg(format!("-Dparts.directory={}", building.display()));
        command.arg(format!("-Dpostgres.platform={}", self.platform));
        command.arg("package").current_dir(building);
        let log = building.join("mvn.log");
        let fetch = Process::spawn("Maven", command, &log, "TERM")?;
        fetch.finish(MAVEN_PATIENCE).await.with_context(|| {
            format!(
                "cannot fetch {name} {} from Maven Central: look at the message below, check the \
                 network and the proxy in ~/.m2/settings.xml, or set {variable}",
                version(name)
            )
        })?;
        if name == "postgres" {
            fs::create_dir(building.join(name)).context("cannot create a folder in the cache")?;
            let mut command = launcher.command_as_ourselves(Path::new("tar"));
            // `o`: the files become ours, also as root
            command.args(["-xof", "postgres.tar", "-C", name]).current_dir(building);
            let unpack = Process::spawn("tar", command, &log, "TERM")?;
            unpack.finish(MAVEN_PATIENCE).await.context("cannot unpack Postgres")?;
        }
        if launcher.other_user().is_some() {
            // whatever our umask is, the other user runs these
            let mut command = launcher.command_as_ourselves(Path::new("chmod"));
            command.args(["-R", "a+rX,go-w"]).arg(&self.folder);
            let open = Process::spawn("chmod", command, &log, "TERM")?;
            open.finish(MAVEN_PATIENCE).await?;
        }
        Ok(())
    }
}

/// `$XDG_CACHE_HOME/course-service` or `~/.cache/course-service`; as root `/var/cache`, because the
/// user that the parts run as gets into few home folders.
fn root() -> anyhow::Result<PathBuf> {
    let launcher = Launcher::get()?;
    let wished = env::var_os("XDG_CACHE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let root = match wished {
        Some(folder) => folder,
        None if launcher.other_user().is_some() => "/var/cache".into(),
        None => {
            env::home_dir().context("there is no home folder: set XDG_CACHE_HOME")?.join(".cache")
        }
    };
    let root = root.join("course-service");
    fs::create_dir_all(&root).with_context(|| format!("cannot create {}", root.display()))?;
    if let Some(user) = launcher.other_user() {
        let path = root.display();
        if fs::metadata(&root).with_context(|| format!("cannot read {path}"))?.uid() != 0 {
            bail!("{path} does not belong to root: set XDG_CACHE_HOME to a folder that does");
        }
        if !launcher.can_enter(&root) {
            bail!("the user `{user}` cannot enter {path}: set XDG_CACHE_HOME to another folder");
        }
    }
    Ok(root)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pom_names_the_version_of_each_part() {
        for part in ["postgres", "kafka"] {
            assert!(version(part).starts_with(|c: char| c.is_ascii_digit()), "{part}");
        }
    }
}
