package refreshtoken

// Do is what a step does. Each is one write, one question, or several that do not depend on
// each other.
type Do int

// What a step can do.
const (
	Nothing       Do = iota
	ChangeRecord     // apply Change to the record in its slot, and write what it returns
	StoreToken       // store the access token Tokens[0] with the places of the waiting readers
	StoreRole        // store the role as its writer wants it
	DeleteRole       // delete the role
	ForgetInRoles    // store each of Roles without the refresh token, if it is stored with it
	CloseTokens      // let the ledger of each of Tokens decide that it ends, unless somebody holds it
	DropTokens       // delete the ledger and the entry of each of Tokens, which is dead
	AskMint          // ask Zoho for an access token; MintAnswered goes on, or InRecord with a Failed
	AskRevoke        // ask Zoho to revoke the refresh token; RevokeAnswered or RevokeFailed goes on
	AskRevokeNow     // ask Zoho to revoke a refresh token that could not be stored, unless a record that can be read by now IsTracked
	AskEndToken      // ask Zoho to revoke the access token Tokens[0]
	TellGivenUp      // tell the log and the events that the refresh token may live on
)

// Step is one thing to do. The caller stops at a step that fails, unless the step says
// otherwise, and reports the error: the write may have been carried out, and Reconcile
// settles that.
type Step struct {
	Do     Do
	Record string // ID of the record that a step is about
	Change Change // of ChangeRecord
	Roles  []string
	Tokens []string

	Turn  bool // the caller has the turn of the record
	Later bool // nobody waits for this step and those after it
	GoOn  bool // if it fails, the next step is taken all the same

	// IfFails is what is done instead of the steps that follow if this one fails. It gets the
	// record as it was read before; nil if there was none.
	IfFails func(was *Record) Plan
}

// Plan is what to do, in order.
type Plan []Step

// Change is a transition of a record. It gets the record as it is, nil for none, and returns
// what is to be there, nil for none. What it returns is written unless it is what it got. It
// does not change what it gets. An error is a *RefusedError.
type Change func(was *Record) (*Record, error)
