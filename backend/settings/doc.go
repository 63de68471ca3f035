// Package settings has what an operator writes: the config of a mount and its roles, with
// their changes and checks. It is pure: it stores nothing, and asks Zoho nothing.
//
//	config.go         the config, its change and its checks
//	role.go           a role, and what it mints from: credential.go
//	role_change.go    a change of a role, and its checks; what people paste is in pasted.go,
//	                  whose account a consent has to be of in role_account.go, and what a role
//	                  needs to be asked for in role_consent.go
//	moved_role.go     a role whose client the mount no longer has
//	role_pin.go       to which Accounts server and client a role belongs
//	fields.go         bounds and forms that several fields have; scopes.go, metadata.go
//
// A change is a value whose nil fields keep what is there. Its Apply returns another config
// or role and does not change the one that it is called on. What is wrong with it is a
// [UserError].
package settings
