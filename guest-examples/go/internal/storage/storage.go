// Package storage makes what stash:storage answers a value and a Go error.
package storage

import (
	witTypes "go.bytecodealliance.org/pkg/wit/types"
	types "stash.example/guests/internal/bindings/stash_storage_types"
)

// Error is what a call of stash:storage met.
type Error struct {
	// Case is the WIT variant: its Tag tells what to do about it.
	Case types.Error
}

// Try takes a call's result apart.
func Try[T any](result witTypes.Result[T, types.Error]) (T, error) {
	if result.IsErr() {
		var none T
		return none, Error{Case: result.Err()}
	}
	return result.Ok(), nil
}

// Error is the store's text, which is for people.
func (e Error) Error() string {
	switch e.Case.Tag() {
	case types.ErrorNotFound:
		return e.Case.NotFound()
	case types.ErrorAlreadyExists:
		return e.Case.AlreadyExists()
	case types.ErrorQuotaExceeded:
		return e.Case.QuotaExceeded()
	case types.ErrorInvalidKey:
		return e.Case.InvalidKey()
	case types.ErrorIoError:
		return e.Case.IoError()
	case types.ErrorLimitExceeded:
		return e.Case.LimitExceeded()
	case types.ErrorUnavailable:
		return e.Case.Unavailable()
	case types.ErrorConflict:
		return e.Case.Conflict().Message
	case types.ErrorInvalidNumber:
		return e.Case.InvalidNumber()
	case types.ErrorInvalidArgument:
		return e.Case.InvalidArgument()
	case types.ErrorTransactionOver:
		return e.Case.TransactionOver()
	case types.ErrorNotEmpty:
		return e.Case.NotEmpty()
	case types.ErrorVersionForgotten:
		return e.Case.VersionForgotten()
	default:
		return e.Case.Unsupported()
	}
}
