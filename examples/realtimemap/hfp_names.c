#include "hfp_names.h"

#include <strings.h>

static const char *const event_names[HFP_EVENT_OTHER] = {
    [HFP_VP] = "vp",     [HFP_DUE] = "due", [HFP_ARR] = "arr",     [HFP_ARS] = "ars",   [HFP_PDE] = "pde",
    [HFP_DEP] = "dep",   [HFP_PAS] = "pas", [HFP_WAIT] = "wait",   [HFP_DOO] = "doo",   [HFP_DOC] = "doc",
    [HFP_TLR] = "tlr",   [HFP_TLA] = "tla", [HFP_DA] = "da",       [HFP_DOUT] = "dout", [HFP_BA] = "ba",
    [HFP_BOUT] = "bout", [HFP_VJA] = "vja", [HFP_VJOUT] = "vjout",
};

static const char *const mode_names[HFP_MODE_OTHER] = {
    [HFP_BUS] = "bus",     [HFP_TRAM] = "tram", [HFP_TRAIN] = "train", [HFP_FERRY] = "ferry",
    [HFP_METRO] = "metro", [HFP_UBUS] = "ubus", [HFP_ROBOT] = "robot",
};

static int find(const char *const *names, int count, struct bytes name)
{
    int i = 0;
    while (i < count && !(strlen(names[i]) == name.len && strncasecmp(names[i], name.data, name.len) == 0))
        i++;
    return i;
}

enum hfp_event hfp_event_find(struct bytes name)
{
    return (enum hfp_event)find(event_names, HFP_EVENT_OTHER, name);
}

enum hfp_mode hfp_mode_find(struct bytes name)
{
    return (enum hfp_mode)find(mode_names, HFP_MODE_OTHER, name);
}

const char *hfp_event_name(enum hfp_event event)
{
    return event < HFP_EVENT_OTHER ? event_names[event] : "other";
}

const char *hfp_mode_name(enum hfp_mode mode)
{
    return mode < HFP_MODE_OTHER ? mode_names[mode] : "other";
}
