package main

import (
	"fmt"
	"slices"
	"strings"
)

// judge says, one reason a line, why a release may not have what was found, and
// what it may have.
func judge(found map[place]*vulnerability, exceptions []exception) (objections, accepted []string) {
	excepted := map[place]exception{}
	for _, e := range exceptions {
		excepted[e.place] = e
		if v := found[e.place]; v == nil || v.called == "" {
			objections = append(objections, fmt.Sprintf("%s: the programs no longer reach it; remove the exception of %s", e.place, e.date))
		}
	}
	for _, v := range found {
		e, listed := excepted[v.place]
		what := fmt.Sprintf("%s@%s", v.place, v.version)
		if v.summary != "" {
			what += " (" + v.summary + ")"
		}
		switch {
		case v.called == "" && v.linked:
			accepted = append(accepted, what+": linked and not called; the fix is "+v.fixed)
		case v.called == "":
			// The package that has it is not even linked.
		case listed && e.fixed == v.fixed:
			accepted = append(accepted, fmt.Sprintf("%s: an exception since %s: %s", what, e.date, e.reason))
		case listed:
			objections = append(objections, fmt.Sprintf("%s: the fix was %s when the exception was made on %s, and is %s now; take it, or look again and write the exception anew",
				what, e.fixed, e.date, v.fixed))
		case v.fixed == noFix:
			objections = append(objections, fmt.Sprintf("%s: reached through %s. No version fixes it: find out what it can do to the programs, and add an exception with the reason or remove what calls it",
				what, v.called))
		default:
			objections = append(objections, fmt.Sprintf("%s: reached through %s. Run go get %s", what, v.called, v.remedy()))
		}
	}
	slices.Sort(objections)
	slices.Sort(accepted)
	return objections, accepted
}

// remedy is the version to take, as `go get` is given it.
func (v *vulnerability) remedy() string {
	if v.module == "stdlib" {
		return "toolchain@go" + strings.TrimPrefix(v.fixed, "v")
	}
	return v.module + "@" + v.fixed
}
