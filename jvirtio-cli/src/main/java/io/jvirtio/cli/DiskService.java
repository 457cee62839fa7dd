// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.cli;

import io.jvirtio.backends.ImageException;
import io.jvirtio.backends.RawFileBackend;
import io.jvirtio.devices.blk.BlkDevice;
import io.jvirtio.devices.blk.BlkOptions;
import io.jvirtio.devices.blk.BlkRequestType;
import io.jvirtio.devices.blk.BlkStats;
import java.io.IOException;
import java.lang.System.Logger;
import java.lang.System.Logger.Level;
import java.util.LinkedHashMap;
import java.util.Locale;
import java.util.Map;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.ParameterException;

/**
 * Serves a disk image until it is told to end, by SIGTERM or SIGINT.
 *
 * @param spec the command
 * @param endpoint where
 * @param disk what
 * @param how how
 */
record DiskService(CommandSpec spec, Endpoint endpoint, DiskOptions disk, ServerOptions how) {
  private static final Logger LOG = System.getLogger(DiskService.class.getName());

  /** Makes the server of a device. */
  interface Factory {
    /**
     * Starts it.
     *
     * @throws IllegalArgumentException when the options do not go together
     */
    DeviceServer start(BlkDevice device) throws IOException;
  }

  /**
   * Serves to the end.
   *
   * @param as for people, such as "PCI function"; or empty
   */
  void run(String as, Factory factory) throws CliException {
    Logging.setUp(how.logLevel());
    BlkOptions options = options();
    Stop stop = new Stop(spec.qualifiedName());
    try (RawFileBackend backend = RawFileBackend.open(disk.file())) {
      serve(as, factory, backend, new BlkDevice(backend, options), stop);
    } catch (ImageException e) {
      throw Hints.image(e, disk.image(), disk.readOnly(), disk.blockSize());
    } catch (IOException e) {
      throw new CliException(e.getMessage(), e);
    } catch (IllegalArgumentException e) {
      throw new ParameterException(spec.commandLine(), e.getMessage(), e);
    }
  }

  private BlkOptions options() {
    try {
      endpoint.check();
      return disk.device();
    } catch (IllegalArgumentException e) {
      throw new ParameterException(spec.commandLine(), e.getMessage(), e);
    }
  }

  private void serve(
      String as, Factory factory, RawFileBackend backend, BlkDevice device, Stop stop)
      throws IOException, CliException {
    try (DeviceServer server = factory.start(device);
        SizeWatcher size = new SizeWatcher(disk.image(), device)) {
      stop.arm(server.server()::stop);
      Signals.handle("HUP", size::refresh);
      size.start();
      endpoint.serve(server.server(), () -> announce(as, backend, device));
      LOG.log(Level.INFO, "ends: {0}", device.stats());
      if (how.printStats()) {
        spec.commandLine().getOut().println(Json.of(stats(device.stats(), server)));
      }
    }
  }

  private static Map<String, Object> stats(BlkStats disk, DeviceServer server) {
    Map<String, Object> requests = new LinkedHashMap<>();
    for (BlkRequestType type : BlkRequestType.values()) {
      requests.put(type.name().toLowerCase(Locale.ROOT), disk.requests(type));
    }
    Map<String, Object> map = new LinkedHashMap<>();
    map.put("requests", requests);
    map.put("failedRequests", disk.ioErrors());
    map.put("bytesRead", disk.bytesRead());
    map.put("bytesWritten", disk.bytesWritten());
    map.putAll(server.counts());
    return map;
  }

  private void announce(String as, RawFileBackend backend, BlkDevice device) {
    LOG.log(
        Level.INFO,
        "serving {0} ({1} bytes, {2}, {3}){4} on {5}, {6}",
        disk.image(),
        Long.toString(device.capacity()),
        device.readOnly() ? "read-only" : "read-write",
        backend.usesIoUring() ? "io_uring" : "worker threads",
        as.isEmpty() ? "" : " as " + as,
        endpoint,
        how.mode().name().toLowerCase(Locale.ROOT) + " mode");
  }
}
