// SPDX-License-Identifier: Apache-2.0

/** The jvirtio command. */
module io.jvirtio.cli {
  requires HdrHistogram;
  requires info.picocli;
  requires io.jvirtio.backends;
  requires io.jvirtio.devices;
  requires io.jvirtio.drivers;
  requires io.jvirtio.linux;
  requires io.jvirtio.qtest;
  requires io.jvirtio.transport;
  requires io.jvirtio.vfio;
  requires io.jvirtio.vhost;
  requires java.logging;
  // sun.misc.Signal, by reflection.
  requires jdk.unsupported;

  opens io.jvirtio.cli to
      info.picocli;
  opens io.jvirtio.cli.boot to
      info.picocli;
  opens io.jvirtio.cli.drive to
      info.picocli;
}
