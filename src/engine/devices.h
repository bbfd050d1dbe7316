/*
 * devices.h
 *		The devices of the machine, as an answer to a question asked apart.
 *
 * src/engine/devices.h
 */
#ifndef RN_DEVICES_H
#define RN_DEVICES_H

#include "engine/peer.h"

/* Send the table that RN_DEVICES is answered with. */
extern RnStatus rn_devices(RnContext *ctx, RnPeer *peer);

#endif							/* RN_DEVICES_H */
