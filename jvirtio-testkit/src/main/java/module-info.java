// SPDX-License-Identifier: Apache-2.0

/** Scripted peers and chain builders: for testing devices, one's own included. */
module io.jvirtio.testkit {
  requires transitive io.jvirtio.core;

  exports io.jvirtio.testkit;
}
