package zohosecrets

import (
	"time"

	"github.com/hashicorp/vault/sdk/framework"
	"github.com/hashicorp/vault/sdk/logical"

	"vault-plugin-secrets-zoho/backend/settings"
)

// operationPrefix begins the operation IDs in Vault's OpenAPI document.
const operationPrefix = "zoho"

// nameRegex takes any name, so that an odd one gets a 400 that says what a
// name may be, and not Vault's "unsupported path".
const nameRegex = `(?P<name>[^/]+)`

func nameField() *framework.FieldSchema {
	return &framework.FieldSchema{
		Type:        framework.TypeString,
		Description: "Name of the role: letters, digits, '_', and '-' and '.' inside.",
		Required:    true,
	}
}

// roleNameOf returns the name in the request's path.
func roleNameOf(d *framework.FieldData) string {
	name, _ := d.Get("name").(string)
	return name
}

// written returns what a write says of a field: nil if it does not name it,
// and the default if it names it as null, which is how a PATCH takes a value
// back.
func written[T any](d *framework.FieldData, name string) *T {
	raw, named := d.Raw[name]
	if !named {
		return nil
	}
	if raw == nil {
		value, _ := d.Schema[name].DefaultOrZero().(T)
		return &value
	}
	value, isT := d.Get(name).(T)
	if !isT {
		return nil
	}
	return &value
}

// writtenDuration is written for a duration, which Vault gives as seconds.
func writtenDuration(d *framework.FieldData, name string) *time.Duration {
	value := written[int](d, name)
	if value == nil {
		return nil
	}
	duration := time.Duration(*value) * time.Second
	return &duration
}

// writtenPairs is written for key-value pairs. A patch keeps the pairs that it does
// not name and takes away those that are null (RFC 7396), as Vault's KV engine does
// with custom_metadata; any other write replaces them all.
func writtenPairs(d *framework.FieldData, name string, op logical.Operation) *settings.MetadataChange {
	raw, named := d.Raw[name]
	if !named {
		return nil
	}
	change := &settings.MetadataChange{Pairs: map[string]*string{}, Merge: op == logical.PatchOperation && raw != nil}
	pairs, _ := d.Get(name).(map[string]string)
	for key, value := range pairs {
		change.Pairs[key] = &value
	}
	object, _ := raw.(map[string]any)
	for key, value := range object {
		if value == nil {
			change.Pairs[key] = nil
		}
	}
	return change
}

// text returns a text field; empty if it is not there.
func text(d *framework.FieldData, name string) string {
	value, _ := d.Get(name).(string)
	return value
}

// isTrue returns a boolean field; false if it is not there.
func isTrue(d *framework.FieldData, name string) bool {
	value, _ := d.Get(name).(bool)
	return value
}

// seconds returns a duration field; zero if it is not there.
func seconds(d *framework.FieldData, name string) time.Duration {
	value, _ := d.Get(name).(int)
	return time.Duration(value) * time.Second
}

// inSeconds is how durations are read back.
func inSeconds(d time.Duration) int64 { return int64(d / time.Second) }

// nonNil lets an empty list read as [] and not as null.
func nonNil(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}
