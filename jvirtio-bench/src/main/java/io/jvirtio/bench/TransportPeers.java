// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.bench;

import io.jvirtio.device.InlineOwner;
import io.jvirtio.devices.blk.BlkDevice;
import io.jvirtio.devices.blk.BlkOptions;
import io.jvirtio.devices.blk.MemoryBackend;
import io.jvirtio.driver.DriverTransport;
import io.jvirtio.linux.Errno;
import io.jvirtio.linux.EventLoop;
import io.jvirtio.linux.LinuxException;
import io.jvirtio.linux.LoopMode;
import io.jvirtio.linux.UnixServerSocket;
import io.jvirtio.linux.Waker;
import io.jvirtio.qtest.QtestMachine;
import io.jvirtio.spec.DeviceType;
import io.jvirtio.transport.mmio.MmioDriverTransport;
import io.jvirtio.transport.pci.PciDriverOptions;
import io.jvirtio.transport.pci.PciDriverTransport;
import io.jvirtio.transport.pci.PciOptions;
import io.jvirtio.vfio.VfioUserAccess;
import io.jvirtio.vfio.VfioUserOptions;
import io.jvirtio.vfio.VfioUserServer;
import io.jvirtio.vhost.VhostUserFrontEndOptions;
import io.jvirtio.vhost.VhostUserOptions;
import io.jvirtio.vhost.VhostUserServer;
import io.jvirtio.vhost.VhostUserTransport;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.List;

/**
 * The device's side of a {@link TransportSetup}: disks in memory, servers on threads of this
 * process, a QEMU with a null disk. Closing it ends them, the last first.
 */
final class TransportPeers implements AutoCloseable {
  private static final long DISK = 64 << 20;
  private static final Duration PATIENCE = Duration.ofSeconds(30);

  /** What may throw when it ends. */
  private interface End {
    void run() throws IOException, InterruptedException;
  }

  /** Serves one socket until it is stopped. */
  private interface Serving {
    void on(UnixServerSocket socket) throws IOException;
  }

  private final LoopMode mode;
  private final Path qemu;
  private final InlineOwner inline = new InlineOwner();
  private final Path folder;
  private final Deque<End> ends = new ArrayDeque<>();

  TransportPeers(LoopMode mode, Path qemu) throws IOException {
    this.mode = mode;
    this.qemu = qemu;
    this.folder = Files.createTempDirectory("jvirtio-bench");
    ends.push(() -> Images.delete(folder));
  }

  /** A disk that costs as little as one can. */
  BlkDevice disk() {
    return new BlkDevice(new MemoryBackend(DISK), BlkOptions.builder().build());
  }

  /** The owner of both sides where there is one thread. */
  InlineOwner inline() {
    return inline;
  }

  /** The owner of the driver's side. */
  EventLoop loopOfCaller() throws IOException {
    return EventLoop.onCaller(
        mode, EventLoop.DEFAULT_POLL_WINDOW, (source, fault) -> fault.printStackTrace());
  }

  /** The owner of the device's side, on a thread. */
  EventLoop deviceLoop() throws IOException {
    EventLoop loop = EventLoop.start("device", mode, (source, fault) -> fault.printStackTrace());
    ends.push(loop::close);
    return loop;
  }

  private Path serve(Waker waker, Runnable stop, Serving serving) throws IOException {
    Path path = folder.resolve("socket");
    UnixServerSocket socket = UnixServerSocket.bind(path, waker);
    Thread thread =
        Thread.ofPlatform()
            .name("server")
            .start(
                () -> {
                  try {
                    serving.on(socket);
                  } catch (IOException e) {
                    throw new UncheckedIOException(e);
                  }
                });
    ends.push(
        () -> {
          stop.run();
          thread.join();
          socket.close();
        });
    return path;
  }

  DriverTransport vhostUser() throws IOException {
    VhostUserServer server =
        new VhostUserServer(disk(), VhostUserOptions.defaults().withMode(mode));
    ends.push(server::close);
    Path path = serve(server.waker(), server::stop, server::serve);
    return VhostUserTransport.connect(
        path, DeviceType.BLOCK.id(), VhostUserFrontEndOptions.defaults());
  }

  DriverTransport vfioUser(PciDriverOptions options) throws IOException {
    VfioUserServer server =
        new VfioUserServer(
            disk(), PciOptions.defaults(), VfioUserOptions.defaults().withMode(mode));
    ends.push(server::close);
    Path path = serve(server.waker(), server::stop, server::serve);
    return new PciDriverTransport(VfioUserAccess.connect(path, PATIENCE), options);
  }

  DriverTransport qtestPci(PciDriverOptions options) throws IOException, InterruptedException {
    QtestMachine machine = machine("q35", "virtio-blk-pci,drive=d,addr=05.0");
    return new PciDriverTransport(machine.openPci(machine.device(null)), options);
  }

  DriverTransport qtestMmio() throws IOException, InterruptedException {
    QtestMachine machine =
        machine(
            "microvm,acpi=off",
            "virtio-blk-device,drive=d",
            "-global",
            "virtio-mmio.force-legacy=off");
    return new MmioDriverTransport(machine.openMmio(machine.device(null)));
  }

  private QtestMachine machine(String type, String device, String... more)
      throws IOException, InterruptedException {
    Path socket = folder.resolve("qtest");
    Path ram = folder.resolve("ram");
    List<String> command = new ArrayList<>(List.of(qemu.toString()));
    command.addAll(List.of("-M", type + ",memory-backend=m", "-m", "64M"));
    command.addAll(List.of("-nodefaults", "-display", "none", "-accel", "qtest"));
    command.add("-object");
    command.add("memory-backend-file,id=m,size=64M,share=on,mem-path=" + ram);
    command.addAll(List.of("-qtest", "unix:" + socket + ",server=on,wait=off"));
    command.addAll(List.of("-qtest-log", "/dev/null"));
    command.add("-blockdev");
    command.add("driver=null-co,node-name=d,read-zeroes=on,size=" + DISK);
    command.addAll(List.of("-device", device));
    command.addAll(List.of(more));
    Daemon daemon = Daemon.start("QEMU", command, socket, folder.resolve("qemu.log"), false);
    ends.push(daemon::close);
    QtestMachine machine = connect(socket, ram);
    ends.push(machine::close);
    return machine;
  }

  /** The socket has its name a moment before QEMU listens. */
  private static QtestMachine connect(Path socket, Path ram)
      throws IOException, InterruptedException {
    long deadline = System.nanoTime() + PATIENCE.toNanos();
    while (true) {
      try {
        return QtestMachine.connect(socket, ram, PATIENCE);
      } catch (LinuxException e) {
        if (e.errno() != Errno.ECONNREFUSED || System.nanoTime() > deadline) {
          throw e;
        }
        Thread.sleep(5);
      }
    }
  }

  @Override
  public void close() throws IOException, InterruptedException {
    while (!ends.isEmpty()) {
      ends.pop().run();
    }
  }
}
