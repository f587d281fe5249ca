// SPDX-License-Identifier: Apache-2.0
/*
 * libFuzzer: the configuration in both forms.  What the text parser accepts
 * must survive the trip through JSON unchanged.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "toolstack/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void round_trip(const struct domain_config *cfg)
{
	json_t *root = config_to_json(cfg), *again;
	struct config_error err = { "" };
	struct domain_config back;

	/* NULL: a string that is not UTF-8, which JSON cannot carry. */
	if (!root)
		return;
	config_init(&back);
	if (config_from_json(&back, root, &err))
		abort();
	again = config_to_json(&back);
	if (!again || !json_equal(root, again))
		abort();
	json_decref(again);
	json_decref(root);
	config_release(&back);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct config_error err = { "" };
	struct domain_config cfg;

	config_init(&cfg);
	if (!config_parse(&cfg, "fuzz", (const char *)data, size, &err, NULL, NULL) &&
	    !config_finalise(&cfg, &err))
		round_trip(&cfg);
	config_release(&cfg);
	if (!config_from_json_text(&cfg, (const char *)data, size, &err))
		round_trip(&cfg);
	config_release(&cfg);
	return 0;
}
