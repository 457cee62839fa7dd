// SPDX-License-Identifier: Apache-2.0

/**
 * The vhost-user protocol, back-end side ("Vhost-user Protocol", QEMU's docs/interop/vhost-user).
 *
 * <p>{@link io.jvirtio.vhost.VhostUserServer} accepts front-ends; a {@code VhostUserSession} serves
 * one of them; {@link io.jvirtio.vhost.VhostUserCodec} turns bytes into checked messages and has no
 * side effect.
 */
package io.jvirtio.vhost;
