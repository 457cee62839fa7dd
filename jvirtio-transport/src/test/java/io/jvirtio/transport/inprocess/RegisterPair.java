// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.transport.inprocess;

import io.jvirtio.device.DeviceHost;
import io.jvirtio.transport.AccessCounters;
import io.jvirtio.transport.RegisterTransport;

/**
 * A driver's transport, and the device at its other end.
 *
 * @param remove takes the device away
 */
record RegisterPair(
    RegisterTransport transport, DeviceHost host, AccessCounters counters, Runnable remove) {}
