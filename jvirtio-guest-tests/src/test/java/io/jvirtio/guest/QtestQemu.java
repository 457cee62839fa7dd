// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.guest;

import io.jvirtio.linux.Errno;
import io.jvirtio.linux.LinuxException;
import io.jvirtio.qtest.QtestMachine;
import java.io.IOException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;

/** A QEMU without a processor that runs: its devices are driven from here. */
final class QtestQemu implements AutoCloseable {
  private static final Duration DEADLINE = Duration.ofSeconds(30);

  private final Path socket;
  private final Path ram;
  private final Path monitor;
  private final Peer peer;

  /**
   * Starts it. The image is the node d.
   *
   * @param folder for its files
   * @param machine such as "q35", with options of the machine
   * @param image what a disk may have
   * @param more the arguments for devices
   */
  QtestQemu(Path folder, String machine, Path image, String... more)
      throws IOException, InterruptedException {
    socket = folder.resolve("qtest");
    ram = folder.resolve("ram");
    monitor = folder.resolve("qmp");
    List<String> command = new ArrayList<>();
    // The host's may be too old for the accelerator.
    command.add(Machine.DEBIAN_13.qemu().toString());
    command.addAll(List.of("-M", machine + ",memory-backend=m", "-m", "64M"));
    command.addAll(List.of("-nodefaults", "-display", "none", "-accel", "qtest"));
    command.add("-object");
    command.add("memory-backend-file,id=m,size=64M,share=on,mem-path=" + ram);
    command.addAll(List.of("-qtest", "unix:" + socket + ",server=on,wait=off"));
    command.addAll(List.of("-qtest-log", "/dev/null"));
    command.addAll(List.of("-qmp", "unix:" + monitor + ",server=on,wait=off"));
    command.addAll(List.of("-blockdev", "driver=file,node-name=d,filename=" + image));
    command.addAll(List.of(more));
    // The file with the process's number is there before the socket is.
    peer = Peer.start(folder, socket, command.toArray(String[]::new));
  }

  /** Finds its devices. */
  QtestMachine connect() throws IOException, InterruptedException {
    long deadline = System.nanoTime() + DEADLINE.toNanos();
    while (true) {
      try {
        return QtestMachine.connect(socket, ram, DEADLINE);
      } catch (LinuxException e) {
        // The socket has its name a moment before it listens.
        if (e.errno() != Errno.ECONNREFUSED || System.nanoTime() > deadline) {
          throw e;
        }
        Thread.sleep(5);
      }
    }
  }

  /** Changes the size of the image, and tells the driver. */
  void resize(long bytes) throws Exception {
    Qmp.send(
        monitor,
        "{\"execute\":\"block_resize\",\"arguments\":{\"node-name\":\"d\",\"size\":"
            + bytes
            + "}}");
  }

  /** The process. */
  Peer peer() {
    return peer;
  }

  @Override
  public void close() {
    peer.close();
  }
}
