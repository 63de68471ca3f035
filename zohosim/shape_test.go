package zohosim_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"vault-plugin-secrets-zoho/zohosim"
)

func TestAnswer_MayGiveARefreshTokenWithoutAUsableAccessToken(t *testing.T) {
	t.Parallel()
	for shape, want := range map[zohosim.AccessTokenShape]any{
		zohosim.AccessTokenMissing: nil, zohosim.AccessTokenEmpty: "", zohosim.AccessTokenNull: nil,
	} {
		w := newWorld(t, zohosim.Options{Answer: zohosim.Answer{BesideRefreshToken: shape}})
		out := w.exchange(w.client, w.codeOf(w.client, "user@example.com"), "")
		assert.Equal(t, want, out.json["access_token"])
		assert.Equal(t, shape != zohosim.AccessTokenMissing, hasKey(out, "access_token"))
		refresh := out.text("refresh_token")
		assert.Equal(t, 1, w.LiveTokens(refresh), "the access token was made")
		assert.NotEmpty(t, w.refreshWith(refresh).text("access_token"), "other answers are whole")
	}
}

func hasKey(out reply, key string) bool {
	_, ok := out.json[key]
	return ok
}
