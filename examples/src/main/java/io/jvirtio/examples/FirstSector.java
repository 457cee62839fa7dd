// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.examples;

import io.jvirtio.device.EventSource;
import io.jvirtio.driver.DriverTransport;
import io.jvirtio.drivers.blk.BlkDriver;
import io.jvirtio.drivers.blk.BlkDriverOptions;
import io.jvirtio.linux.EventLoop;
import io.jvirtio.linux.LoopMode;
import io.jvirtio.spec.DeviceType;
import io.jvirtio.vhost.VhostUserFrontEndOptions;
import io.jvirtio.vhost.VhostUserTransport;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Path;
import java.util.HexFormat;

/** Reads from a disk that some vhost-user server serves: whichever, in whatever language. */
public final class FirstSector {
  private FirstSector() {}

  /** Prints the first sector of the disk behind a socket. */
  public static void main(String[] args) throws IOException {
    DriverTransport transport =
        VhostUserTransport.connect(
            Path.of(args[0]), DeviceType.BLOCK.id(), VhostUserFrontEndOptions.defaults());
    System.out.println(HexFormat.of().formatHex(read(transport)));
  }

  private static void failed(EventSource source, Throwable fault) {
    fault.printStackTrace();
  }

  /** The first sector of a disk. */
  static byte[] read(DriverTransport transport) throws IOException {
    // The caller's thread owns the queue: no other is woken for a request.
    try (EventLoop loop =
            EventLoop.onCaller(
                LoopMode.ADAPTIVE, EventLoop.DEFAULT_POLL_WINDOW, FirstSector::failed);
        BlkDriver disk = BlkDriver.open(transport, BlkDriverOptions.of(loop))) {
      MemorySegment sector = disk.allocate(512);
      disk.read(0, sector);
      return sector.toArray(ValueLayout.JAVA_BYTE);
    }
  }
}
