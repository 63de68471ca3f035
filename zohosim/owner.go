package zohosim

// organisationID is the organisation that each data centre has.
const organisationID = "600123434"

// An owner is whose data a token opens: a user, or an organisation. Refresh
// tokens are counted per owner.
type owner struct {
	dc           string
	name         string // of the user, or the soid
	organisation bool
}

func userOf(dc, name string) owner { return owner{dc: dc, name: name} }

// organisationOf names an organisation by its soid. Without one it is the only
// organisation of the data centre.
func organisationOf(dc, soid string) owner {
	return owner{dc: dc, name: orDefault(soid, organisationID), organisation: true}
}

// prefix is what codes for the owner's consent, and the tokens that come of it,
// begin with.
// Source: zoho.com/accounts/protocol/oauth/instance-level-oauth.html (codes);
// organisations' tokens with it have been seen.
func (o owner) prefix() string {
	if o.organisation {
		return organisationPrefix
	}
	return usualPrefix
}

func (o owner) key() string {
	if o.organisation {
		return o.dc + " organisation " + o.name
	}
	return o.dc + " user " + o.name
}
