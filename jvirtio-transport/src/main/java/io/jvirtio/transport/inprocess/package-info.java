// SPDX-License-Identifier: Apache-2.0

/** Driver and device in one process: {@link io.jvirtio.transport.inprocess.InProcessTransport}. */
package io.jvirtio.transport.inprocess;
