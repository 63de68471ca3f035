package zohosim

// A dataCenter is one of Zoho's regions.
type dataCenter struct {
	location string
	accounts string // the Accounts server
	api      string // api_domain
}

// dataCenters lists the regions with an Accounts server of their own.
//
// Source: zoho.com/accounts/protocol/oauth/multi-dc.html, and the class DC of
// Zoho's CRM SDKs. The API domain of the UK follows the pattern of the others;
// no document names it. Of ae, WorkDrive's page of data centres has the API domain; the
// hosts of sg are those of public programs.
func dataCenters() []dataCenter {
	return []dataCenter{
		{"us", "https://accounts.zoho.com", "https://www.zohoapis.com"},
		{"eu", "https://accounts.zoho.eu", "https://www.zohoapis.eu"},
		{"in", "https://accounts.zoho.in", "https://www.zohoapis.in"},
		{"au", "https://accounts.zoho.com.au", "https://www.zohoapis.com.au"},
		{"jp", "https://accounts.zoho.jp", "https://www.zohoapis.jp"},
		{"ca", "https://accounts.zohocloud.ca", "https://www.zohoapis.ca"},
		{"sa", "https://accounts.zoho.sa", "https://www.zohoapis.sa"},
		{"uk", "https://accounts.zoho.uk", "https://www.zohoapis.uk"},
		{"cn", "https://accounts.zoho.com.cn", "https://www.zohoapis.com.cn"},
		{"ae", "https://accounts.zoho.ae", "https://www.zohoapis.ae"},
		{"sg", "https://accounts.zoho.sg", "https://www.zohoapis.sg"},
	}
}

// DataCenters returns the names of the data centres: us, eu, in, au, jp, ca,
// sa, uk, cn, ae, sg.
func DataCenters() []string {
	names := make([]string, 0, len(dataCenters()))
	for _, dc := range dataCenters() {
		names = append(names, dc.location)
	}
	return names
}

func findDataCenter(location string) (dataCenter, bool) {
	for _, dc := range dataCenters() {
		if dc.location == location {
			return dc, true
		}
	}
	return dataCenter{}, false
}

func mustDataCenter(location string) dataCenter {
	dc, ok := findDataCenter(location)
	if !ok {
		panic("zohosim: unknown data centre " + location)
	}
	return dc
}
