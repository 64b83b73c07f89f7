//! [`RedisServer`]: what a shared engine asks of its server, as calls of scripts. Whatever is told to be of one state comes
//! from one script.

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::try_join_all;
use redis::Cmd;
use stash_core::engine::{EngineInfo, EngineStatus, Page, Scan};
use stash_core::{BoxFuture, StorageError};
use stash_shared::{Commit, CommitError, CommitLimits, Fetched, Head, Heard, Outcome, Server, ServerError, Wanted};
use tokio::runtime::Handle;
use tokio::time::Instant;

use crate::ask::{self, Answer, Question, State};
use crate::error::{server_error, strange};
use crate::link::Lane;
use crate::servers::Servers;
use crate::snapshot::{MOST_ON_SERVER, RedisSnapshot, Snapshots, by_owner, in_order, only_page};
use crate::wide::Ranges;
use crate::{RedisOptions, commit, news, script};

/// Answers that may have more bytes than this go on a connection of their own.
const LARGE: usize = 256 * 1024;
/// What a key in a page is taken to have: most have less.
const KEY: usize = 128;
/// Times that several namespaces of a cluster are looked at until they were of one state.
const MOST_LOOKS: usize = 20;
/// Entries that one commit writes: a fraction of a second in which the server does nothing else.
const MOST_WRITES: usize = 100_000;
/// Bytes that one commit writes: a batch, and what it keeps of the past. Redis takes 1 GiB from a client at once.
const MOST_BYTES: usize = 256 * 1024 * 1024;
/// How long the server may take to forget snapshots.
const RELEASE: Duration = Duration::from_secs(5);

/// A Redis or Valkey server, or a cluster of them, as the server of a shared engine.
pub struct RedisServer {
    asking: Arc<Asking>,
    places: commit::Places,
    durable: bool,
}

/// What an answer is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Whoever reads.
    Read,
    /// A decision, whose outcome depends on it.
    Decide,
    /// To see whether what is cached is still so.
    Watch,
}

/// What asks.
pub(crate) struct Asking {
    pub(crate) servers: Arc<Servers>,
    pub(crate) options: RedisOptions,
    pub(crate) snapshots: Snapshots,
    /// Where connections live.
    handle: Handle,
}

impl Asking {
    /// The answers to questions about one namespace or, on one server, about all; and the number of the snapshot. `None`
    /// where the snapshot has ended.
    pub(crate) async fn once(
        &self,
        purpose: Purpose,
        scope: &Bytes,
        state: &State,
        questions: &[Question],
    ) -> Result<Option<(String, Vec<Answer>)>, ServerError> {
        if purpose == Purpose::Watch {
            return self.ask(purpose, Lane::Heads, scope, state, questions).await;
        }
        if questions.iter().all(is_small) {
            return self.ask(purpose, Lane::Ask, scope, state, questions).await;
        }
        // How large values are is seen only there: most are small, and need not wait behind large ones.
        if let Some(bounded) = questions.iter().map(bounded).collect::<Option<Vec<_>>>() {
            let answer = self.ask(purpose, Lane::Ask, scope, state, &bounded).await?;
            let is_too_much = |answer: &Answer| matches!(answer, Answer::Values(None));
            if !answer.as_ref().is_some_and(|(_, answers)| answers.iter().any(is_too_much)) {
                return Ok(answer);
            }
        }
        self.ask(purpose, Lane::Bulk, scope, state, questions).await
    }

    async fn ask(
        &self,
        purpose: Purpose,
        lane: Lane,
        scope: &Bytes,
        state: &State,
        questions: &[Question],
    ) -> Result<Option<(String, Vec<Answer>)>, ServerError> {
        let write = |command: &mut Cmd| {
            state.write(command);
            for question in questions {
                question.write(command);
            }
        };
        let mut answer = self.servers.run(lane, &script::ASK, scope, &write).await;
        // It cannot write now, and need not. But one that no replica follows may not be the primary any more.
        let is_cut_off = answer.as_ref().is_err_and(|failure| failure.has_code(&["NOREPLICAS"]));
        if is_cut_off && purpose != Purpose::Read {
            let reason = "too few replicas follow it (min-replicas-to-write): another may have taken over";
            return Err(ServerError::Unreachable(reason.to_owned()));
        }
        if is_cut_off || answer.as_ref().is_err_and(|failure| failure.has_code(&["MISCONF"])) {
            answer = self.servers.run(lane, &script::ASK_LAX, scope, &write).await;
        }
        ask::read(questions, answer.map_err(server_error)?)
    }

    /// The answers about the present, for one namespace after another. All are of one state, also on a cluster.
    fn now(
        &self,
        purpose: Purpose,
        groups: Vec<(Bytes, Vec<Question>)>,
    ) -> BoxFuture<'_, Result<Vec<Vec<Answer>>, ServerError>> {
        Box::pin(self.of_one_state(purpose, groups))
    }

    async fn of_one_state(
        &self,
        purpose: Purpose,
        mut groups: Vec<(Bytes, Vec<Question>)>,
    ) -> Result<Vec<Vec<Answer>>, ServerError> {
        let ended = || strange("no answer");
        if !self.servers.is_cluster() {
            let counts: Vec<usize> = groups.iter().map(|(_, questions)| questions.len()).collect();
            let questions: Vec<Question> = groups.into_iter().flat_map(|(_, questions)| questions).collect();
            let (_, answers) = self.once(purpose, &Bytes::new(), &State::Now, &questions).await?.ok_or_else(ended)?;
            let mut answers = answers.into_iter();
            return Ok(counts.into_iter().map(|count| answers.by_ref().take(count).collect()).collect());
        }
        if let [(owner, questions)] = &groups[..] {
            let (_, answers) = self.once(purpose, owner, &State::Now, questions).await?.ok_or_else(ended)?;
            return Ok(vec![answers]);
        }
        // What is the same before and after was so at every moment between.
        for (owner, questions) in &mut groups {
            questions.push(Question::Head { owner: owner.clone() });
        }
        for _ in 0..MOST_LOOKS {
            let asked = groups.iter().map(|(owner, questions)| self.once(purpose, owner, &State::Now, questions));
            let mut found = Vec::with_capacity(groups.len());
            let mut before = Vec::with_capacity(groups.len());
            for answer in try_join_all(asked).await? {
                let (_, mut answers) = answer.ok_or_else(ended)?;
                before.push(answers.pop());
                found.push(answers);
            }
            let heads = self.heads(purpose, groups.iter().map(|(owner, _)| owner)).await?;
            let is_same =
                |(before, after): (&Option<Answer>, &Head)| matches!(before, Some(Answer::Head(head)) if head == after);
            if before.iter().zip(&heads).all(is_same) {
                return Ok(found);
            }
        }
        Err(ServerError::Unreachable("the namespaces were changed all the time while they were looked at".to_owned()))
    }

    /// Each as it is at some moment.
    async fn heads(&self, purpose: Purpose, owners: impl Iterator<Item = &Bytes>) -> Result<Vec<Head>, ServerError> {
        let head = |answer| match answer {
            Answer::Head(head) => Ok(head),
            _ => Err(strange("a head")),
        };
        let questions: Vec<_> = owners.map(|owner| Question::Head { owner: owner.clone() }).collect();
        if questions.is_empty() {
            return Ok(Vec::new());
        }
        let answers = if self.servers.is_cluster() {
            let ask = async |question: &Question| {
                let Question::Head { owner } = question else { return Err(strange("a head")) };
                self.once(purpose, owner, &State::Now, std::slice::from_ref(question)).await
            };
            let answers = try_join_all(questions.iter().map(ask)).await?;
            answers.into_iter().flatten().flat_map(|(_, answers)| answers).collect()
        } else {
            let answer = self.once(purpose, &Bytes::new(), &State::Now, &questions).await?;
            answer.map(|(_, answers)| answers).unwrap_or_default()
        };
        if answers.len() != questions.len() {
            return Err(strange("the number of heads"));
        }
        answers.into_iter().map(head).collect()
    }

    /// Makes a snapshot on one server; tells its number.
    pub(crate) async fn hold(&self, id: &str) -> Result<String, ServerError> {
        let life = u64::try_from(self.options.snapshot_life.as_millis()).unwrap_or(u64::MAX);
        let write = |command: &mut Cmd| {
            command.arg(id).arg(life).arg(MOST_ON_SERVER);
        };
        let answer = self.servers.run(Lane::Ask, &script::HOLD, b"", &write).await.map_err(server_error)?;
        let number = ask::maybe_bytes(answer)?.ok_or_else(ask::too_many_snapshots)?;
        String::from_utf8(number.to_vec()).map_err(|_| strange("the number of a snapshot"))
    }

    /// Lets the server forget snapshots. If that fails, it does so by itself when their life is over.
    pub(crate) async fn release(&self, scope: &Bytes, ids: &[String]) {
        let write = |command: &mut Cmd| {
            for id in ids {
                command.arg(id);
            }
        };
        let releasing = self.servers.run(Lane::Ask, &script::RELEASE, scope, &write);
        match tokio::time::timeout(RELEASE, releasing).await {
            Ok(Ok(_)) => {}
            Ok(Err(failure)) => tracing::debug!("snapshots were not ended: {failure}"),
            Err(_) => tracing::debug!("snapshots were not ended in time"),
        }
    }

    /// Asks, where timers and sockets work, until there is an answer or patience is over: what the engine does for its own
    /// calls, for those of snapshots.
    pub(crate) async fn patiently<'a, T>(
        &self,
        question: impl Fn() -> BoxFuture<'a, Result<T, ServerError>>,
    ) -> Result<T, StorageError> {
        let asking = async {
            let deadline = Instant::now() + self.options.shared.patience;
            let mut pause = Duration::from_millis(2);
            loop {
                let reason = match tokio::time::timeout(self.options.shared.call_timeout, question()).await {
                    Ok(Ok(answer)) => return Ok(answer),
                    Ok(Err(ServerError::Refused(error))) => return Err(error),
                    Ok(Err(ServerError::Unreachable(reason))) => reason,
                    Err(_) => "it did not answer in time".to_owned(),
                };
                if Instant::now() >= deadline {
                    return Err(StorageError::Unavailable { reason: format!("redis cannot be reached: {reason}") });
                }
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(Duration::from_millis(100));
            }
        };
        let mut asking = std::pin::pin!(asking);
        std::future::poll_fn(|context| {
            let _within = self.handle.enter();
            asking.as_mut().poll(context)
        })
        .await
    }
}

impl Ranges for Asking {
    async fn range(&self, owner: Bytes, scan: Scan) -> Result<Page, ServerError> {
        let answers = self.now(Purpose::Read, vec![(owner.clone(), vec![Question::Range { owner, scan }])]).await?;
        only_page(answers.into_iter().flatten().collect())
    }
}

/// Whether it is known that an answer does not keep others waiting.
fn is_small(question: &Question) -> bool {
    match question {
        Question::Range { scan, .. } | Question::Everywhere { scan } => {
            // A page is full when an entry goes over its bytes.
            let entries = scan.limit.saturating_mul(scan.value_bytes.saturating_add(KEY));
            entries.min(scan.max_bytes.saturating_add(scan.value_bytes)) <= LARGE
        }
        Question::Values { most, .. } => most.is_some_and(|most| most <= LARGE),
        Question::Places { .. } | Question::Head { .. } => true,
    }
}

/// The same question with an answer that is small, or `None` values; where there is no such question, nothing.
fn bounded(question: &Question) -> Option<Question> {
    match question {
        Question::Values { owner, keys, most } => {
            let most = Some(most.map_or(LARGE, |most| most.min(LARGE)));
            Some(Question::Values { owner: owner.clone(), keys: keys.clone(), most })
        }
        other => is_small(other).then(|| other.clone()),
    }
}

impl RedisServer {
    /// Connections are made on the runtime that this is called on.
    pub(crate) fn new(servers: Arc<Servers>, options: RedisOptions, durable: bool) -> Result<Self, StorageError> {
        let mut host = [0; 8];
        getrandom::fill(&mut host).map_err(|error| StorageError::io("asking the system for a random number", error))?;
        let (snapshots, ended) = Snapshots::new(format!("{:016x}", u64::from_ne_bytes(host)));
        let asking = Arc::new(Asking { servers, options, snapshots, handle: Handle::current() });
        asking.handle.spawn(crate::snapshot::release(Arc::clone(&asking), ended));
        Ok(Self { asking, places: commit::Places::default(), durable })
    }

    /// What the names of the store's keys in the server begin with.
    pub fn prefix(&self) -> &str {
        &self.asking.servers.target().prefix
    }
}

impl Server for RedisServer {
    type Snapshot = RedisSnapshot;

    fn info(&self) -> EngineInfo {
        EngineInfo { name: "redis", durable: self.durable }
    }

    fn limits(&self) -> CommitLimits {
        CommitLimits { writes: MOST_WRITES, bytes: MOST_BYTES }
    }

    fn status(&self) -> EngineStatus {
        EngineStatus { failure: self.asking.servers.failure(), disk_bytes: None }
    }

    async fn read(&self, keys: &[&[u8]]) -> Result<Vec<Option<Bytes>>, ServerError> {
        let values = values(&self.asking, keys, None).await?;
        values.ok_or_else(|| strange("no values"))
    }

    async fn read_up_to(&self, keys: &[&[u8]], max_bytes: usize) -> Result<Option<Vec<Option<Bytes>>>, ServerError> {
        values(&self.asking, keys, Some(max_bytes)).await
    }

    async fn scan(&self, scan: &Scan) -> Result<Page, ServerError> {
        if scan.is_empty() {
            return Ok(Page::default());
        }
        if self.asking.servers.is_cluster() {
            let paging: BoxFuture<'_, _> = Box::pin(crate::wide::page(scan, &self.asking, &*self.asking));
            return paging.await;
        }
        let answers = self.asking.now(Purpose::Read, vec![(Bytes::new(), vec![Question::page(scan)])]).await?;
        only_page(answers.into_iter().flatten().collect())
    }

    async fn fetch(&self, wanted: &Wanted) -> Result<Fetched, ServerError> {
        fetch(&self.asking, wanted).await
    }

    async fn heads(&self, owners: &[Bytes]) -> Result<Vec<Head>, ServerError> {
        self.asking.heads(Purpose::Watch, owners.iter()).await
    }

    async fn commit(&self, commit: &Commit) -> Result<Outcome, CommitError> {
        let applying: BoxFuture<'_, _> =
            Box::pin(commit::apply(&self.asking.servers, &self.places, self.asking.options.set_aside_bytes, commit));
        applying.await
    }

    async fn snapshot(&self) -> Result<RedisSnapshot, ServerError> {
        RedisSnapshot::begin(Arc::clone(&self.asking)).await
    }

    async fn announce(&self, message: Bytes) {
        news::announce(&self.asking.servers, &message).await;
    }

    fn listen(&self, heard: Heard) {
        self.asking.handle.spawn(news::listen(Arc::clone(&self.asking.servers), heard));
    }
}

/// The values of keys, if they are not too much.
async fn values(
    asking: &Asking,
    keys: &[&[u8]],
    most: Option<usize>,
) -> Result<Option<Vec<Option<Bytes>>>, ServerError> {
    if keys.is_empty() {
        return Ok(Some(Vec::new()));
    }
    let (groups, order) = by_owner(keys);
    let questions =
        groups.into_iter().map(|(owner, keys)| (owner.clone(), vec![Question::Values { owner, keys, most }]));
    let answers: Vec<Answer> = asking.now(Purpose::Read, questions.collect()).await?.into_iter().flatten().collect();
    if answers.iter().any(|answer| matches!(answer, Answer::Values(None))) {
        return Ok(None);
    }
    let values = in_order(answers, &order)?;
    let bytes: usize = values.iter().flatten().map(Bytes::len).sum();
    Ok(most.is_none_or(|most| bytes <= most).then_some(values))
}

/// Keys, ranges and heads of one state.
async fn fetch(asking: &Asking, wanted: &Wanted) -> Result<Fetched, ServerError> {
    let keys: Vec<&[u8]> = wanted.keys.iter().map(|key| &key[..]).collect();
    let (by_key, order) = by_owner(&keys);
    let mut groups: Vec<(Bytes, Vec<Question>)> = Vec::new();
    let mut index: HashMap<Bytes, usize> = HashMap::new();
    // Where each answer will be: the group, and the place in it.
    let mut add = |owner: Bytes, question: Question| {
        let group = *index.entry(owner.clone()).or_insert_with(|| {
            groups.push((owner, Vec::new()));
            groups.len() - 1
        });
        let questions = groups.get_mut(group).map(|(_, questions)| questions);
        let at = questions.map_or(0, |questions| {
            questions.push(question);
            questions.len() - 1
        });
        (group, at)
    };
    let values_at: Vec<_> = by_key
        .into_iter()
        .map(|(owner, keys)| add(owner.clone(), Question::Values { owner, keys, most: None }))
        .collect();
    let pages_at: Vec<_> = wanted
        .scans
        .iter()
        .map(|scan| {
            if scan.is_empty() {
                return None;
            }
            let question = match Question::page(scan) {
                // A decision's ranges are each of one namespace: here, of none.
                Question::Everywhere { scan } if asking.servers.is_cluster() => {
                    Question::Range { owner: Bytes::new(), scan }
                }
                question => question,
            };
            let owner = match &question {
                Question::Range { owner, .. } => owner.clone(),
                _ => Bytes::new(),
            };
            Some(add(owner, question))
        })
        .collect();
    let heads_at: Vec<_> =
        wanted.owners.iter().map(|owner| add(owner.clone(), Question::Head { owner: owner.clone() })).collect();
    if groups.is_empty() {
        return Ok(Fetched { pages: vec![Page::default(); pages_at.len()], ..Fetched::default() });
    }
    let mut answers: Vec<Vec<Option<Answer>>> = asking
        .now(Purpose::Decide, groups)
        .await?
        .into_iter()
        .map(|group| group.into_iter().map(Some).collect())
        .collect();
    let mut take = |(group, at): (usize, usize)| {
        let answer = answers.get_mut(group).and_then(|group| group.get_mut(at)).and_then(Option::take);
        answer.ok_or_else(|| strange("the number of answers"))
    };
    let values = values_at.into_iter().map(&mut take).collect::<Result<Vec<_>, _>>()?;
    let values = in_order(values, &order)?;
    let mut pages = Vec::with_capacity(pages_at.len());
    for at in pages_at {
        pages.push(match at.map(&mut take).transpose()? {
            None => Page::default(),
            Some(Answer::Page(page)) => page,
            Some(_) => return Err(strange("a page")),
        });
    }
    let mut heads = Vec::with_capacity(heads_at.len());
    for at in heads_at {
        let Answer::Head(head) = take(at)? else { return Err(strange("a head")) };
        heads.push(head);
    }
    Ok(Fetched { values, pages, heads })
}

impl std::fmt::Debug for RedisServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("RedisServer").field(&self.asking.servers.target().shown()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_known_to_be_small_is_asked_for_beside_small_questions() {
        let page = |limit, max_bytes, value_bytes| Question::Everywhere {
            scan: Scan { limit, max_bytes, value_bytes, ..Scan::prefix(b"r") },
        };
        let values = |most| Question::Values { owner: Bytes::new(), keys: vec![Bytes::from("k")], most };
        for small in [page(100, usize::MAX, 64), page(usize::MAX, 10_000, 64), values(Some(LARGE))] {
            assert!(is_small(&small), "{small:?}");
        }
        for large in [
            page(1, usize::MAX, usize::MAX),
            page(1, 10, usize::MAX),
            page(usize::MAX, usize::MAX, 0),
            page(100, LARGE, 10_000),
            values(None),
            values(Some(LARGE + 1)),
        ] {
            assert!(!is_small(&large), "{large:?}");
        }
        assert!(bounded(&values(None)).is_some_and(|question| is_small(&question)));
        assert!(bounded(&page(1, 10, usize::MAX)).is_none());
    }
}
