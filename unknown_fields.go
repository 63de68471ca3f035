package zohosecrets

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/hashicorp/vault/sdk/framework"
	"github.com/hashicorp/vault/sdk/logical"
)

// wrote answers a write: 204, unless there is something to warn of. Vault adds its own
// warning of fields that it does not know, but only to an answer without an error, and
// does not say which one is meant.
func wrote(d *framework.FieldData, warnings []string, err error) (*logical.Response, error) {
	unknown := unknownFields(d)
	if err != nil {
		resp, err := respond(err)
		if text, told := errorText(resp); told && len(unknown) > 0 {
			resp.Data["error"] = strings.TrimSuffix(text, ".") + ". " + strings.Join(unknown, ". ")
		}
		return resp, err
	}
	if warnings = append(warnings, unknown...); len(warnings) == 0 {
		return nil, nil
	}
	return &logical.Response{Warnings: warnings}, nil
}

// unknownFields tells of the fields of a request that there are not, the first few of
// them, with the one that may be meant.
func unknownFields(d *framework.FieldData) (told []string) {
	const most, longest = 5, 40 // a name comes from outside
	for _, field := range slices.Sorted(maps.Keys(d.Raw)) {
		if d.Schema[field] != nil || len(field) > longest {
			continue
		}
		if len(told) == most {
			break
		}
		text := "There is no field " + strconv.Quote(field) + " here, so it has changed nothing"
		if meant := nearestField(field, d.Schema); meant != "" {
			text += fmt.Sprintf("; did you mean %s?", meant)
		}
		told = append(told, text)
	}
	return told
}

// nearestField is the field whose name a typing error could have made of it; empty if
// there is none.
func nearestField(typed string, schema map[string]*framework.FieldSchema) string {
	typed = plainName(typed)
	abbreviated := map[string]string{"dc": "data_center", "region": "data_center", "secret": "client_secret", "scope": "scopes", "id": "client_id"}
	if meant := abbreviated[typed]; schema[meant] != nil {
		return meant
	}
	nearest, least := "", max(2, len(typed)/4)+1
	for _, field := range slices.Sorted(maps.Keys(schema)) {
		if distance := editDistance(typed, plainName(field)); distance < least {
			nearest, least = field, distance
		}
	}
	return nearest
}

// plainName leaves out what people write in different ways.
func plainName(name string) string {
	return strings.NewReplacer("-", "", "_", "", ".", "", " ", "").Replace(strings.ToLower(name))
}

// editDistance is how many characters have to be put in, left out or changed to make b of
// a (Levenshtein).
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			changed := diagonal + cmp.Compare(a[i], b[j])*cmp.Compare(a[i], b[j])
			diagonal = row[j+1]
			row[j+1] = min(changed, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
