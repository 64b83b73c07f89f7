// Keeps notes by title, for ever or for some time. An ordinary Go program with a command line.
// It must never replace a note that it was not told to delete, however many of it run at once.
package main

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"syscall"
	"unicode"

	witTypes "go.bytecodealliance.org/pkg/wit/types"
	"stash.example/guests/internal/bindings/stash_storage_collections"
	types "stash.example/guests/internal/bindings/stash_storage_types"
	"stash.example/guests/internal/command"
	"stash.example/guests/internal/storage"
	"stash.example/guests/notes/moment"
)

const usage = `usage: notes add [--for TIME] TITLE [TEXT..]
                                  keep a note; without TEXT, from stdin; with TIME, such as 90s, 5m, 12h
                                  or 7d, only for so long
       notes list [PREFIX]        the notes, the newest first: all, or those whose titles begin with PREFIX
       notes show TITLE           print a note
       notes delete TITLE         remove a note
`

// Titles are keys behind this prefix, so that later kinds of records do not meet them.
const note = "note/"

func init() { command.Main = main }

func main() {
	verb, args := "", os.Args[1:]
	if len(args) > 0 {
		verb, args = args[0], args[1:]
	}
	var err error
	switch {
	case verb == "add" && len(args) >= 3 && args[0] == "--for":
		var after uint64
		if after, err = moment.Millis(args[1]); err == nil {
			err = add(args[2], args[3:], types.MakeExpiryAfter(after))
		}
	case verb == "add" && len(args) >= 1:
		err = add(args[0], args[1:], types.MakeExpiryNever())
	case verb == "list" && len(args) == 0:
		err = list("")
	case verb == "list" && len(args) == 1:
		err = list(args[0])
	case verb == "show" && len(args) == 1:
		err = show(args[0])
	case verb == "delete" && len(args) == 1:
		err = remove(args[0])
	case (verb == "help" || verb == "--help" || verb == "-h") && len(args) == 0:
		err = print([]byte(usage))
	default:
		fmt.Fprint(os.Stderr, usage)
		os.Exit(1)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "notes:", err)
		os.Exit(1)
	}
}

func add(title string, words []string, expires types.Expiry) error {
	if title == "" || strings.ContainsFunc(title, unicode.IsControl) {
		return errors.New("a title is one line of text, and not empty")
	}
	text := []byte(strings.Join(words, " "))
	if len(words) == 0 {
		var err error
		if text, err = io.ReadAll(os.Stdin); err != nil {
			return fmt.Errorf("cannot read stdin: %w", err)
		}
	}
	if len(text) == 0 {
		return errors.New("nothing to keep: the text is empty")
	}
	if !bytes.HasSuffix(text, []byte("\n")) {
		text = append(text, '\n')
	}
	notes, err := open()
	if err != nil {
		return err
	}
	defer notes.Drop()
	// The store asks and stores in one: nobody can come between.
	_, err = storage.Try(notes.Set(note+title, text, witTypes.Some(stash_storage_collections.SetCall{
		Condition: witTypes.Some(types.MakeConditionAbsent()),
		Options:   witTypes.Some(types.SetOptions{Expires: expires, ContentType: witTypes.Some("text/plain")}),
	})))
	if e := (storage.Error{}); errors.As(err, &e) && e.Case.Tag() == types.ErrorAlreadyExists {
		return fmt.Errorf("there is already a note '%s'; delete it first", title)
	}
	return err
}

// open opens the collection that is always there, so that `stash kv` shows the notes.
func open() (*stash_storage_collections.Collection, error) {
	return storage.Try(stash_storage_collections.Open(""))
}

func list(prefix string) error {
	notes, err := open()
	if err != nil {
		return err
	}
	defer notes.Drop()
	var entries []types.Entry
	options := types.ListOptions{Range: types.KeyRange{Prefix: witTypes.Some(note + prefix)}}
	for {
		page, err := storage.Try(notes.ListEntries(options))
		if err != nil {
			return err
		}
		entries = append(entries, page.Entries...)
		if options.Cursor = page.Cursor; options.Cursor.IsNone() {
			break
		}
	}
	// Versions, not times: two notes can be of one millisecond, but never of one commit.
	slices.SortFunc(entries, func(a, b types.Entry) int { return cmp.Compare(b.Metadata.Version, a.Metadata.Version) })
	var lines bytes.Buffer
	for _, entry := range entries {
		created, until := "-", ""
		if at := entry.Metadata.Created; at.IsSome() {
			created = moment.Shown(at.Some())
		}
		if at := entry.Metadata.Expires; at.IsSome() {
			until = fmt.Sprintf("  (until %s)", moment.Shown(at.Some()))
		}
		fmt.Fprintf(&lines, "%s  %s%s\n", created, strings.TrimPrefix(entry.Key, note), until)
	}
	return print(lines.Bytes())
}

func show(title string) error {
	notes, err := open()
	if err != nil {
		return err
	}
	defer notes.Drop()
	text, err := storage.Try(notes.Get(note + title))
	if err != nil {
		return err
	}
	if text.IsNone() {
		return missing(title)
	}
	return print(text.Some())
}

func remove(title string) error {
	notes, err := open()
	if err != nil {
		return err
	}
	defer notes.Drop()
	existed, err := storage.Try(notes.Delete(note+title, witTypes.None[types.Condition]()))
	if err == nil && !existed {
		err = missing(title)
	}
	return err
}

func missing(title string) error {
	return fmt.Errorf("there is no note '%s'", title)
}

// print prints bytes as they were given; a reader that has seen enough is no error. A closed pipe arrives as EIO.
func print(text []byte) error {
	_, err := os.Stdout.Write(text)
	if err != nil && !errors.Is(err, syscall.EPIPE) && !errors.Is(err, syscall.EIO) {
		return fmt.Errorf("cannot write the output: %w", err)
	}
	return nil
}
