// Keeps notes by title, for ever or for some time. A program with a command line. It must never replace a note that it
// was not told to delete, however many of it run at once.

import { getArguments } from "wasi:cli/environment@0.2.10";
import { getStderr } from "wasi:cli/stderr@0.2.10";
import { getStdin } from "wasi:cli/stdin@0.2.10";
import { getStdout } from "wasi:cli/stdout@0.2.10";
import { type Error as StoreError, type Expiry, type Metadata, open } from "stash:storage/collections@0.1.0";
import type { OutputStream, StreamError } from "wasi:io/streams@0.2.10";
import { millis, shown } from "./moment.js";

const USAGE = `\
usage: notes add [--for TIME] TITLE [TEXT..]
                                  keep a note; without TEXT, from stdin; with TIME, such as 90s, 5m, 12h
                                  or 7d, only for so long
       notes list [PREFIX]        the notes, the newest first: all, or those whose titles begin with PREFIX
       notes show TITLE           print a note
       notes delete TITLE         remove a note
`;

/** Titles are keys behind this prefix, so that later kinds of records do not meet them. */
const NOTE = "note/";

/** The export `wasi:cli/run` of the world. It fails, with exit code 1, by throwing. */
export const run: typeof import("wasi:cli/run@0.2.10") = {
  run() {
    const [, command, ...args] = getArguments();
    const [first, second, third, ...rest] = args;
    try {
      if (command === "add" && first === "--for" && second !== undefined && third !== undefined) {
        add(third, rest, { tag: "after", val: millis(second) });
      } else if (command === "add" && first !== undefined) {
        add(first, args.slice(1), { tag: "never" });
      } else if (command === "list" && args.length <= 1) {
        list(first ?? "");
      } else if (command === "show" && first !== undefined && args.length === 1) {
        show(first);
      } else if (command === "delete" && first !== undefined && args.length === 1) {
        remove(first);
      } else if (["help", "--help", "-h"].includes(command ?? "") && args.length === 0) {
        print(encode(USAGE));
      } else {
        throw new Usage();
      }
    } catch (error) {
      write(getStderr(), encode(error instanceof Usage ? USAGE : `notes: ${reason(error)}\n`));
      throw undefined;
    }
  },
};

/** The command line makes no sense. */
class Usage extends Error {}

function add(title: string, words: string[], expires: Expiry): void {
  if (title === "" || /\p{Cc}/u.test(title)) throw new Error("a title is one line of text, and not empty");
  let note = words.length > 0 ? encode(words.join(" ")) : input();
  if (note.length === 0) throw new Error("nothing to keep: the text is empty");
  if (note.at(-1) !== 10) note = joined([note, encode("\n")]);
  using notes = openNotes();
  try {
    // The store asks and stores in one: nobody can come between.
    notes.set(NOTE + title, note, {
      condition: { tag: "absent" },
      options: { expires, contentType: "text/plain", attributes: [] },
    });
  } catch (error) {
    if (payload<StoreError>(error)?.tag !== "already-exists") throw error;
    throw new Error(`there is already a note '${title}'; delete it first`);
  }
}

/** Where the notes are: the collection that is always there, so that `stash kv` shows them. */
const openNotes = () => open("");

function list(prefix: string): void {
  using store = openNotes();
  const notes: { key: string; metadata: Metadata }[] = [];
  let cursor: string | undefined;
  do {
    const page = store.listEntries({ range: { prefix: NOTE + prefix }, reverse: false, cursor });
    notes.push(...page.entries.map(({ key, metadata }) => ({ key, metadata })));
    cursor = page.cursor;
  } while (cursor !== undefined);
  // Versions, not times: two notes can be of one millisecond, but never of one commit.
  notes.sort((a, b) => (a.metadata.version < b.metadata.version ? 1 : -1));
  const lines = notes.map(({ key, metadata: { created, expires } }) => {
    const until = expires === undefined ? "" : `  (until ${shown(expires)})`;
    return `${created === undefined ? "-" : shown(created)}  ${key.slice(NOTE.length)}${until}\n`;
  });
  print(encode(lines.join("")));
}

function show(title: string): void {
  using notes = openNotes();
  const note = notes.get(NOTE + title);
  if (note === undefined) throw missing(title);
  print(note);
}

function remove(title: string): void {
  using notes = openNotes();
  if (!notes.delete(NOTE + title, undefined)) throw missing(title);
}

function missing(title: string): Error {
  return new Error(`there is no note '${title}'`);
}

/** All of standard input, whatever bytes it is. */
function input(): Uint8Array {
  using stdin = getStdin();
  const chunks: Uint8Array[] = [];
  try {
    for (;;) chunks.push(stdin.blockingRead(65_536n));
  } catch (error) {
    const end = payload<StreamError>(error);
    if (end?.tag !== "closed") throw new Error(`cannot read stdin: ${told(end) ?? error}`);
  }
  return joined(chunks);
}

/** Prints bytes as they were given; a reader that has seen enough is no error. */
function print(bytes: Uint8Array): void {
  using stdout = getStdout();
  try {
    write(stdout, bytes);
  } catch (error) {
    const end = payload<StreamError>(error);
    if (end?.tag !== "closed") throw new Error(`cannot write the output: ${told(end) ?? error}`);
  }
}

/** A stream takes 4096 bytes at once. */
function write(stream: OutputStream, bytes: Uint8Array): void {
  for (let from = 0; from < bytes.length; from += 4096) stream.blockingWriteAndFlush(bytes.subarray(from, from + 4096));
}

/** What a stream said; its first line is for people. */
function told(error: StreamError | undefined): string | undefined {
  return error?.tag === "last-operation-failed" ? error.val.toDebugString().split("\n")[0] : error?.tag;
}

/** The error of a WIT function that failed: it throws it, as the `payload` of what it throws. */
function payload<E>(thrown: unknown): E | undefined {
  return (thrown as { payload?: E }).payload;
}

/** What went wrong, for a person. */
function reason(error: unknown): string {
  const ofStore = payload<StoreError>(error);
  if (ofStore === undefined) return error instanceof Error ? error.message : String(error);
  return ofStore.tag === "conflict" ? ofStore.val.message : ofStore.val;
}

function encode(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

function joined(parts: Uint8Array[]): Uint8Array {
  const all = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  let end = 0;
  for (const part of parts) {
    all.set(part, end);
    end += part.length;
  }
  return all;
}
