// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.cli.boot;

import io.jvirtio.backends.ImageException;
import io.jvirtio.backends.RawFileBackend;
import io.jvirtio.backends.RawFileOptions;
import io.jvirtio.cli.CliException;
import io.jvirtio.cli.DeviceServer;
import io.jvirtio.cli.RingChoice;
import io.jvirtio.device.DeviceHost;
import io.jvirtio.devices.blk.BlkDevice;
import io.jvirtio.devices.blk.BlkOptions;
import io.jvirtio.linux.SocketServer;
import io.jvirtio.linux.UnixServerSocket;
import io.jvirtio.vfio.VfioUserOptions;
import io.jvirtio.vfio.VfioUserServer;
import io.jvirtio.vhost.VhostUserOptions;
import io.jvirtio.vhost.VhostUserServer;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Comparator;
import java.util.List;
import java.util.stream.Stream;

/**
 * One guest from its disk to its end. Whatever happens, QEMU is ended and the temporary folder
 * removed, on Ctrl-C too.
 */
final class BootRun implements AutoCloseable {
  private static final String SERIAL = "jvirtio-boot";
  private static final int REMOVALS = 5;
  private static final long SERVER_PATIENCE_MILLIS = 10_000;

  private final BootOptions options;
  private final Progress progress;
  private final Path scratch;
  private final Thread hook = new Thread(this::cleanUp, "clean-up");
  private final Latencies latencies = new Latencies();
  private volatile Guest guest;

  BootRun(BootOptions options, Progress progress) throws IOException {
    this.options = options;
    this.progress = progress;
    this.scratch = Files.createTempDirectory("jvirtio-boot-");
    Runtime.getRuntime().addShutdownHook(hook);
  }

  /** Does all of it, telling each step. */
  Summary run() throws IOException, CliException, InterruptedException {
    progress.doing("looking for QEMU, a kernel and busybox");
    Lab lab = Lab.bringUp(scratch);
    if (options.pci() != null && !Qemu.hasVfioUser(lab.qemu(), scratch)) {
      progress.doing("getting a QEMU that is a client of vfio-user");
      lab = lab.withNewerQemu(scratch);
      progress.done("QEMU is that of the lab: this machine's is too old for vfio-user");
    }
    Path kernel = options.kernel() == null ? lab.kernel() : options.kernel();
    String accelerator = Accelerator.pick(lab, lab.kernel(), scratch, progress);
    Path initrd = initrd(lab, kernel);
    TestDisk made = null;
    if (options.disk() == null) {
      progress.doing("making a disk");
      made = TestDisk.create(scratch);
      progress.done("disk made: 64 MiB, ext4, " + made.files().size() + " files");
    }
    Path image = made == null ? options.disk() : made.image();
    Steps steps = new Steps(options, made, image, progress);
    Qemu qemu = new Qemu(lab.qemu(), accelerator, reachable(kernel), reachable(initrd));
    Summary summary = serve(qemu, image, steps);
    if (steps.wroteFile()) {
      progress.doing("checking the image");
      made.check(scratch);
      steps.verify(made.checksum(scratch, "/from-guest"));
    }
    return summary;
  }

  /**
   * A QEMU of another Debian sees the lab and the temporary folder, and not where a user keeps his.
   */
  private Path reachable(Path file) throws IOException {
    boolean given = file.equals(options.kernel()) || file.equals(options.initrd());
    if (options.pci() == null || !given) {
      return file;
    }
    return Files.copy(file, Files.createTempDirectory(scratch, "given").resolve("file"));
  }

  private Path initrd(Lab lab, Path kernel) throws IOException, CliException {
    if (options.initrd() != null) {
      return options.initrd();
    }
    Path modules = lab.modules();
    if (options.kernel() != null) {
      modules = KernelModules.find(kernel);
      progress.line(
          modules == null
              ? "      no modules found for " + kernel + ": it must have virtio and ext4 built in"
              : "      modules of " + kernel + ": " + modules);
    }
    Path initrd = scratch.resolve("initrd.cpio");
    Initramfs.write(initrd, lab.busybox(), modules);
    return initrd;
  }

  private Summary serve(Qemu qemu, Path image, Steps steps)
      throws IOException, CliException, InterruptedException {
    BlkOptions blk =
        BlkOptions.builder()
            .queues(options.queues())
            .serial(SERIAL)
            .readOnly(steps.readOnly())
            .observer(latencies)
            .build();
    RingChoice rings = options.rings();
    boolean pci = options.pci() != null;
    boolean canInOrder = rings.inOrder() && (pci || qemu.canInOrder(scratch));
    Path path = scratch.resolve("disk.sock");
    RawFileOptions how = RawFileOptions.of(image).withReadOnly(steps.readOnly());
    try (RawFileBackend backend = RawFileBackend.open(how)) {
      BlkDevice device = new BlkDevice(backend, blk);
      try (DeviceServer server = start(device);
          UnixServerSocket socket = UnixServerSocket.bind(path, server.server().waker())) {
        Thread thread =
            Thread.ofPlatform().daemon().name("serve").start(() -> accept(server.server(), socket));
        try {
          guest(qemu, new Qemu.Disk(path, options.queues(), rings, canInOrder, pci), steps);
        } finally {
          server.server().stop();
          thread.join(SERVER_PATIENCE_MILLIS);
        }
        return new Summary(
            qemu.accelerator(),
            rings,
            canInOrder,
            server.negotiated(),
            server.words(),
            server.counts(),
            device.stats(),
            latencies);
      }
    } catch (ImageException e) {
      throw new CliException(e.getMessage(), e);
    }
  }

  private DeviceServer start(BlkDevice device) throws IOException {
    RingChoice rings = options.rings();
    if (options.pci() != null) {
      VfioUserOptions how = VfioUserOptions.defaults().withMode(options.mode());
      return DeviceServer.of(new VfioUserServer(device, options.pci().options(rings), how));
    }
    VhostUserOptions how =
        VhostUserOptions.defaults()
            .withMode(options.mode())
            .withRingFeatures(rings.of(DeviceHost.ringFeatures()));
    return DeviceServer.of(new VhostUserServer(device, how));
  }

  private static void accept(SocketServer server, UnixServerSocket socket) {
    try {
      server.serve(socket);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  private void guest(Qemu qemu, Qemu.Disk disk, Steps steps)
      throws CliException, InterruptedException {
    List<String> command = qemu.command(steps.kernelArguments(), disk, options.interactive());
    progress.doing("booting under " + (qemu.accelerator().equals("kvm") ? "KVM" : "TCG"));
    if (options.interactive()) {
      progress.quiet();
      try (Guest running = Guest.startInteractive(command)) {
        guest = running;
        int code = running.awaitEnd();
        if (code != 0) {
          throw new CliException("QEMU ended with exit code " + code);
        }
      }
      return;
    }
    try (Guest running = Guest.start(command)) {
      guest = running;
      try {
        steps.follow(running);
      } catch (CliException e) {
        progress.quiet();
        running.lastLines().forEach(line -> progress.line("      | " + line));
        throw e;
      }
    }
  }

  private void cleanUp() {
    Guest running = guest;
    if (running != null) {
      running.close();
    }
    // The server removes its socket meanwhile, on Ctrl-C: then the walk is taken up again.
    for (int i = 0; i < REMOVALS && Files.exists(scratch); i++) {
      try (Stream<Path> files = Files.walk(scratch)) {
        files.sorted(Comparator.reverseOrder()).forEach(file -> file.toFile().delete());
      } catch (IOException | UncheckedIOException e) {
        System.getLogger(BootRun.class.getName())
            .log(System.Logger.Level.DEBUG, "removing " + scratch, e);
      }
    }
  }

  @Override
  public void close() {
    cleanUp();
    try {
      Runtime.getRuntime().removeShutdownHook(hook);
    } catch (IllegalStateException e) {
      progress.quiet(); // The process ends already, and the hook runs.
    }
  }
}
