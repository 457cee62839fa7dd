// SPDX-License-Identifier: Apache-2.0

/**
 * The vhost-user protocol, both sides ("Vhost-user Protocol", QEMU's docs/interop/vhost-user).
 *
 * <p>{@link io.jvirtio.vhost.VhostUserServer} accepts front-ends; a {@code VhostUserSession} serves
 * one of them; {@link io.jvirtio.vhost.VhostUserCodec} turns bytes into checked messages and has no
 * side effect.
 *
 * <p>On the other side {@link io.jvirtio.vhost.VhostUserTransport} is a front-end: the device of
 * any back-end as a driver sees it. A {@code FrontEndSession} is one connection, a {@code
 * FrontEndChannel} has a method for each message, a {@code BackEndView} knows what the back-end has
 * been told.
 */
package io.jvirtio.vhost;
