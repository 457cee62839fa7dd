// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.cli;

import io.jvirtio.backends.ImageException;
import io.jvirtio.backends.RawFileBackend;
import io.jvirtio.backends.RawFileOptions;
import io.jvirtio.device.DeviceHost;
import io.jvirtio.devices.blk.BlkDevice;
import io.jvirtio.devices.blk.BlkOptions;
import io.jvirtio.devices.blk.BlkRequestType;
import io.jvirtio.devices.blk.BlkStats;
import io.jvirtio.devices.blk.CacheMode;
import io.jvirtio.linux.Fd;
import io.jvirtio.linux.LinuxException;
import io.jvirtio.linux.LoopMode;
import io.jvirtio.linux.UnixServerSocket;
import io.jvirtio.linux.UnixSocket;
import io.jvirtio.vhost.VhostUserOptions;
import io.jvirtio.vhost.VhostUserServer;
import io.jvirtio.vhost.VhostUserStats;
import java.io.IOException;
import java.lang.System.Logger;
import java.lang.System.Logger.Level;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.Callable;
import picocli.CommandLine.ArgGroup;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Spec;

/**
 * Serves a disk image by vhost-user until it is told to end (vhost-user, Back-end program
 * conventions).
 */
@Command(
    name = "blk",
    sortOptions = false,
    description = "Serve a disk image to a virtual machine, by vhost-user.",
    footer = {
      "",
      "Example: a disk of 1 GiB for QEMU. The guest's memory must be shared.",
      "",
      "  truncate -s 1G disk.img",
      "  jvirtio blk --socket-path=/tmp/blk.sock --blk-file=disk.img",
      "  qemu-system-x86_64 -m 1G -object memory-backend-memfd,id=mem,size=1G,share=on \\",
      "    -machine memory-backend=mem \\",
      "    -chardev socket,id=c,path=/tmp/blk.sock,reconnect=1 \\",
      "    -device vhost-user-blk-pci,chardev=c ...",
      "",
      "When a front-end leaves, the next is served. SIGTERM ends the program with exit code 0;",
      "SIGHUP tells the guest the image's present size, a larger one is noticed without it.",
      "Exit codes: 0 success, 1 failure, 2 wrong usage.",
    })
public final class BlkCommand implements Callable<Integer> {
  private static final Logger LOG = System.getLogger(BlkCommand.class.getName());

  /** When a write is stable, and whether the host's page cache is used. */
  enum Cache {
    /** Stable after a flush. */
    WRITEBACK,
    /** Stable when complete. */
    WRITETHROUGH,
    /** Stable after a flush, past the page cache. */
    DIRECT
  }

  static final class Endpoint {
    @Option(
        names = "--socket-path",
        required = true,
        paramLabel = "PATH",
        description = "Listen on a UNIX socket at this path.")
    Path socketPath;

    @Option(
        names = "--fd",
        required = true,
        paramLabel = "N",
        description = "Use this inherited socket, listening or connected.")
    Integer fd;
  }

  @Spec private CommandSpec spec;

  @ArgGroup(multiplicity = "1")
  private Endpoint endpoint;

  @Option(
      names = "--blk-file",
      required = true,
      paramLabel = "IMAGE",
      description = "The disk image: a raw file or a block device.")
  private Path image;

  @Option(
      names = {"--read-only", "-r"},
      description = "The guest may only read.")
  private boolean readOnly;

  @Option(
      names = "--num-queues",
      defaultValue = "256",
      paramLabel = "N",
      description = "Queues to offer, 1 to 256 (default: ${DEFAULT-VALUE}).")
  private int queues;

  @Option(
      names = "--queue-size",
      defaultValue = "256",
      paramLabel = "N",
      description = "Largest queue, a power of two up to 32768 (default: ${DEFAULT-VALUE}).")
  private int queueSize;

  @Option(
      names = "--serial",
      defaultValue = "",
      paramLabel = "TEXT",
      description = "Serial number, up to 20 characters.")
  private String serial;

  @Option(
      names = "--block-size",
      defaultValue = "0",
      paramLabel = "BYTES",
      description = "Logical block size (default: 512, or what the image needs).")
  private int blockSize;

  @Option(
      names = "--cache",
      defaultValue = "writeback",
      paramLabel = "MODE",
      description = "writeback, writethrough or direct (default: ${DEFAULT-VALUE}).")
  private Cache cache;

  @Option(
      names = "--discard",
      defaultValue = "on",
      paramLabel = "on|off",
      description = "Give space back when the guest discards (default: ${DEFAULT-VALUE}).")
  private Switch discard;

  @Mixin private RingOptions rings;

  @Option(
      names = "--mode",
      defaultValue = "adaptive",
      paramLabel = "MODE",
      description =
          "How to wait for the guest: event (sleep), adaptive (poll a moment, then sleep) or poll"
              + " (never sleep) (default: ${DEFAULT-VALUE}).")
  private LoopMode mode;

  @Option(names = "--one-shot", description = "End when the first front-end has left.")
  private boolean oneShot;

  @Option(
      names = "--print-stats",
      description = "At the end, print what was done as one JSON object on standard output.")
  private boolean printStats;

  @Option(
      names = "--log-level",
      defaultValue = "info",
      paramLabel = "LEVEL",
      description = "off, error, warning, info, debug or trace (default: ${DEFAULT-VALUE}).")
  private Logging.LogLevel logLevel;

  @Option(
      names = "--print-capabilities",
      description = "Print what this program can do, as JSON, and end.")
  private boolean printCapabilities;

  @Option(
      names = {"-h", "--help"},
      usageHelp = true,
      description = "Show this and end.")
  private boolean help;

  /** For picocli. */
  public BlkCommand() {}

  @Override
  public Integer call() throws CliException {
    Logging.setUp(logLevel);
    BlkOptions options = options();
    Stop stop = new Stop();
    RawFileOptions how =
        RawFileOptions.of(image)
            .withReadOnly(readOnly)
            .withDirect(cache == Cache.DIRECT)
            .withDiscard(discard == Switch.ON)
            .withBlockSize(blockSize);
    try (RawFileBackend backend = RawFileBackend.open(how)) {
      serve(backend, new BlkDevice(backend, options), stop);
      return 0;
    } catch (ImageException e) {
      throw Hints.image(e, image, readOnly, blockSize);
    } catch (IOException e) {
      throw new CliException(e.getMessage(), e);
    }
  }

  private void serve(RawFileBackend backend, BlkDevice device, Stop stop)
      throws IOException, CliException {
    VhostUserOptions options =
        VhostUserOptions.defaults()
            .withMode(mode)
            .withOneShot(oneShot)
            .withRingFeatures(rings.choice().of(DeviceHost.ringFeatures()));
    try (VhostUserServer server = new VhostUserServer(device, options);
        SizeWatcher size = new SizeWatcher(image, device)) {
      stop.arm(server);
      Signals.handle("HUP", size::refresh);
      size.start();
      if (endpoint.fd != null) {
        serveFd(server, backend, device);
      } else {
        try (UnixServerSocket socket = bind(server)) {
          announce(endpoint.socketPath.toString(), backend, device);
          server.serve(socket);
        }
      }
      LOG.log(Level.INFO, "ends: {0}", device.stats());
      if (printStats) {
        spec.commandLine().getOut().println(Json.of(stats(device.stats(), server.stats())));
      }
    }
  }

  private static Map<String, Object> stats(BlkStats disk, VhostUserStats ring) {
    Map<String, Object> requests = new LinkedHashMap<>();
    for (BlkRequestType type : BlkRequestType.values()) {
      requests.put(type.name().toLowerCase(Locale.ROOT), disk.requests(type));
    }
    Map<String, Object> map = new LinkedHashMap<>();
    map.put("requests", requests);
    map.put("failedRequests", disk.ioErrors());
    map.put("bytesRead", disk.bytesRead());
    map.put("bytesWritten", disk.bytesWritten());
    map.put("frontEnds", ring.sessions());
    map.put("notificationsReceived", ring.notificationsReceived());
    map.put("notificationsSent", ring.notificationsSent());
    map.put("notificationsSuppressed", ring.notificationsSuppressed());
    return map;
  }

  private UnixServerSocket bind(VhostUserServer server) throws IOException, CliException {
    try {
      return UnixServerSocket.bind(endpoint.socketPath, server.waker());
    } catch (LinuxException e) {
      throw Hints.socket(e, endpoint.socketPath);
    }
  }

  private void serveFd(VhostUserServer server, RawFileBackend backend, BlkDevice device)
      throws IOException, CliException {
    Fd fd = new Fd(endpoint.fd);
    boolean listening;
    try {
      listening = UnixServerSocket.isListening(fd);
    } catch (LinuxException e) {
      throw new CliException(
          "--fd="
              + endpoint.fd
              + " is no UNIX stream socket ("
              + e.getMessage()
              + "): hand down a listening or a connected one",
          e);
    }
    announce("descriptor " + endpoint.fd, backend, device);
    if (listening) {
      try (UnixServerSocket socket = UnixServerSocket.of(fd, server.waker())) {
        server.serve(socket);
      }
    } else {
      try (UnixSocket socket = UnixSocket.of(fd, server.waker())) {
        server.serve(socket);
      }
    }
  }

  private void announce(String where, RawFileBackend backend, BlkDevice device) {
    LOG.log(
        Level.INFO,
        "serving {0} ({1} bytes, {2}, {3}) on {4}, {5}",
        image,
        Long.toString(device.capacity()),
        device.readOnly() ? "read-only" : "read-write",
        backend.usesIoUring() ? "io_uring" : "worker threads",
        where,
        mode.name().toLowerCase(Locale.ROOT) + " mode");
  }

  private BlkOptions options() {
    try {
      if (endpoint.fd != null && endpoint.fd < 0) {
        throw new IllegalArgumentException("--fd is " + endpoint.fd + ", must not be negative");
      }
      if (queues > VhostUserServer.MAX_QUEUES) {
        throw new IllegalArgumentException(
            "number of queues is " + queues + ", must be 1 to " + VhostUserServer.MAX_QUEUES);
      }
      return BlkOptions.builder()
          .queues(queues)
          .queueSize(queueSize)
          .serial(serial)
          .blockSize(blockSize)
          .cache(cache == Cache.WRITETHROUGH ? CacheMode.WRITETHROUGH : CacheMode.WRITEBACK)
          .readOnly(readOnly)
          .discard(discard == Switch.ON)
          .build();
    } catch (IllegalArgumentException e) {
      throw new ParameterException(spec.commandLine(), e.getMessage(), e);
    }
  }
}
