// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.cli.drive;

import io.jvirtio.spec.ConfigDecoder;
import io.jvirtio.spec.DeviceType;
import io.jvirtio.spec.DeviceTypeGuess;
import io.jvirtio.spec.FeatureNames;
import io.jvirtio.spec.ReservedFeatures;
import io.jvirtio.spec.VirtioBlk;
import io.jvirtio.vhost.ProtocolFeatures;
import java.math.BigInteger;
import java.nio.ByteOrder;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;

/** What a device says of itself, for people and for programs. */
final class ProbeText {
  private static final int WIDTH = 96;
  private static final String TITLE = "%-18s %s";
  private static final int INDENT = 19;
  private static final int LOG_ALL = 26;
  private static final int RUNNERS_UP = 3;
  private static final int ROW = 16;

  private final Probe probe;
  private final List<String> lines = new ArrayList<>();

  private ProbeText(Probe probe) {
    this.probe = probe;
  }

  /** Lines for people, of a device of vhost-user. */
  static List<String> lines(Path socket, Probe probe) {
    ProbeText text = new ProbeText(probe);
    text.title("socket", socket.toString());
    text.add();
    return text.lines;
  }

  /** Lines for people, of a device on a bus. */
  static List<String> lines(Probe probe) {
    ProbeText text = new ProbeText(probe);
    text.addOnBus();
    return text.lines;
  }

  private void addOnBus() {
    BusProbe bus = probe.bus();
    title("device", bus.seat().address() + " on " + bus.busName());
    int id = bus.seat().deviceId();
    String number = "device id " + id;
    title(
        "device type",
        probe.type() == null
            ? number + ", not in the specification"
            : probe.type().shortName() + " (" + number + ")");
    title("interface", bus.interfaces());
    title("interrupts", bus.interrupts());
    title("queues", bus.queues());
    features();
    config();
  }

  private void add() {
    type();
    title(
        "queues",
        probe.queues() < 0
            ? "the back-end does not say (no MQ)"
            : Integer.toString(probe.queues()));
    if (probe.memorySlots() >= 0) {
      title("memory slots", Long.toString(probe.memorySlots()));
    }
    features();
    if (!probe.features().has(ReservedFeatures.VIRTIO_F_VERSION_1)) {
      lines.add("      no VIRTIO_F_VERSION_1: modern drivers, those of jvirtio too, refuse it");
    }
    long protocol = probe.protocolFeatures();
    title("protocol features", protocol == 0 ? "none" : "0x" + Long.toHexString(protocol));
    for (int bit = 0; bit < Long.SIZE; bit++) {
      if ((protocol >>> bit & 1) != 0) {
        item(bit, ProtocolFeatures.names(1L << bit).getFirst());
      }
    }
    config();
  }

  private void features() {
    title("features", probe.features().isEmpty() ? "none" : probe.features().toString());
    for (int bit : probe.features().bits()) {
      item(bit, featureName(bit));
    }
  }

  /** Two bits of vhost-user are not virtio's, but the protocol's. */
  private String featureName(int bit) {
    if (probe.bus() != null) {
      return FeatureNames.of(id(), bit);
    }
    return switch (bit) {
      case LOG_ALL -> "VHOST_F_LOG_ALL";
      case ProtocolFeatures.VHOST_USER_F_PROTOCOL_FEATURES -> "VHOST_USER_F_PROTOCOL_FEATURES";
      default -> FeatureNames.of(id(), bit);
    };
  }

  private int id() {
    return probe.type() == null ? 0 : probe.type().id();
  }

  private void title(String title, String text) {
    lines.add(String.format(TITLE, title, text));
  }

  private void item(int number, String text) {
    boolean unknown = text.equals("bit " + number);
    lines.add(String.format("%4d  %s", number, unknown ? "(not in the specification)" : text));
  }

  private void type() {
    DeviceType type = probe.type();
    if (type == null) {
      title("device type", "not known: nothing fits; name it with --device");
      return;
    }
    String name = type.shortName() + " (device id " + type.id() + ")";
    if (probe.given()) {
      title("device type", name + ", as given");
      return;
    }
    DeviceTypeGuess.Candidate first = probe.guesses().getFirst();
    title(
        "device type",
        name
            + ", inferred with "
            + first.confidence().name().toLowerCase(Locale.ROOT)
            + " confidence; --device names it");
    wrap("because: " + first.reason());
    List<String> others = new ArrayList<>();
    for (DeviceTypeGuess.Candidate other : runnersUp()) {
      others.add(other.type().shortName() + " (" + other.score() + ")");
    }
    if (!others.isEmpty()) {
      wrap("points: " + first.score() + "; the next: " + String.join(", ", others));
    }
  }

  private List<DeviceTypeGuess.Candidate> runnersUp() {
    return probe.guesses().stream().skip(1).limit(RUNNERS_UP).toList();
  }

  private void wrap(String text) {
    StringBuilder line = new StringBuilder(" ".repeat(INDENT));
    for (String word : text.split(" ")) {
      if (line.length() + word.length() > WIDTH && line.length() > INDENT) {
        lines.add(line.toString().stripTrailing());
        line = new StringBuilder(" ".repeat(INDENT));
      }
      line.append(word).append(' ');
    }
    lines.add(line.toString().stripTrailing());
  }

  private void config() {
    byte[] config = probe.config();
    if (config == null && probe.bus() != null) {
      title("configuration", "none");
      return;
    }
    if (config == null) {
      boolean offered = (probe.protocolFeatures() >>> ProtocolFeatures.CONFIG & 1) != 0;
      title("configuration", offered ? "the back-end gives none" : "cannot be read (no CONFIG)");
      return;
    }
    DeviceType type = probe.type();
    if (type == null || type.config().fields().isEmpty()) {
      title("configuration", config.length + " bytes");
      dump(config);
      return;
    }
    title(
        "configuration",
        "struct " + type.config().name() + ", " + config.length + " bytes; offset, field, value");
    int hidden = 0;
    for (ConfigDecoder.Value value : values()) {
      if (value.present()) {
        String text = value.text() + meaning(value);
        lines.add(
            String.format("%4d  %-30s %s", value.field().offset(), value.name(), text)
                .stripTrailing());
      } else if (!value.offered()) {
        hidden++;
      } else {
        lines.add(
            String.format("%4d  %-30s %s", value.field().offset(), value.name(), "not given"));
      }
    }
    if (hidden > 0) {
      lines.add(
          "      ("
              + hidden
              + (hidden == 1 ? " field is" : " fields are")
              + " left out: not among the features)");
    }
  }

  private List<ConfigDecoder.Value> values() {
    return ConfigDecoder.decode(
            probe.type().config(), probe.config(), probe.features(), ByteOrder.LITTLE_ENDIAN)
        .stream()
        .filter(value -> !value.field().isPadding())
        .toList();
  }

  /** Sectors are hard to read. */
  private String meaning(ConfigDecoder.Value value) {
    boolean sectors =
        probe.type() == DeviceType.BLOCK
            && (value.name().equals("capacity") || value.name().endsWith("_sectors"));
    if (!sectors || value.text().length() > 16) {
      return "";
    }
    return " sectors (" + Sizes.text(Long.parseLong(value.text()) * VirtioBlk.SECTOR_SIZE) + ")";
  }

  private void dump(byte[] bytes) {
    for (int i = 0; i < bytes.length; i += ROW) {
      int end = Math.min(bytes.length, i + ROW);
      lines.add(String.format("%4d  %s", i, HexFormat.ofDelimiter(" ").formatHex(bytes, i, end)));
    }
  }

  /** The same for programs, of a device of vhost-user. */
  static Map<String, Object> json(Path socket, Probe probe) {
    ProbeText text = new ProbeText(probe);
    Map<String, Object> map = new LinkedHashMap<>();
    map.put("socketPath", socket);
    map.put("device", text.jsonType());
    map.put("queues", probe.queues() < 0 ? null : probe.queues());
    map.put("memorySlots", probe.memorySlots() < 0 ? null : probe.memorySlots());
    map.put("features", text.jsonFeatures());
    List<Object> protocol = new ArrayList<>();
    for (int bit = 0; bit < Long.SIZE; bit++) {
      if ((probe.protocolFeatures() >>> bit & 1) != 0) {
        protocol.add(text.jsonBit(bit, ProtocolFeatures.names(1L << bit).getFirst()));
      }
    }
    map.put("protocolFeatures", protocol);
    map.put("config", probe.config() == null ? null : text.jsonConfig());
    return map;
  }

  /** The same for programs, of a device on a bus. */
  static Map<String, Object> json(Probe probe) {
    ProbeText text = new ProbeText(probe);
    BusProbe bus = probe.bus();
    Map<String, Object> type = new LinkedHashMap<>();
    type.put("id", bus.seat().deviceId());
    type.put("name", probe.type() == null ? null : probe.type().shortName());
    Map<String, Object> map = new LinkedHashMap<>();
    map.put("address", bus.seat().address());
    map.put("bus", bus.seat().bus().name().toLowerCase(Locale.ROOT));
    map.put("device", type);
    map.put("interfaces", bus.seat().interfaces());
    map.put("askedByLegacy", bus.legacy());
    map.put("msixVectors", bus.seat().vectors());
    map.put("pin", bus.pin());
    map.put("queueSizes", bus.queueSizes());
    map.put("features", text.jsonFeatures());
    map.put("config", probe.config() == null ? null : text.jsonConfig());
    return map;
  }

  private List<Object> jsonFeatures() {
    List<Object> features = new ArrayList<>();
    for (int bit : probe.features().bits()) {
      features.add(jsonBit(bit, featureName(bit)));
    }
    return features;
  }

  private Map<String, Object> jsonBit(int bit, String name) {
    Map<String, Object> map = new LinkedHashMap<>();
    map.put("bit", bit);
    map.put("name", name.equals("bit " + bit) ? null : name);
    return map;
  }

  private Map<String, Object> jsonType() {
    if (probe.type() == null) {
      return null;
    }
    Map<String, Object> map = new LinkedHashMap<>();
    map.put("id", probe.type().id());
    map.put("name", probe.type().shortName());
    map.put("inferred", !probe.given());
    if (!probe.given()) {
      DeviceTypeGuess.Candidate first = probe.guesses().getFirst();
      map.put("confidence", first.confidence().name().toLowerCase(Locale.ROOT));
      map.put("points", first.score());
      map.put("reasons", first.reasons());
      List<Object> others = new ArrayList<>();
      for (DeviceTypeGuess.Candidate other : runnersUp()) {
        Map<String, Object> one = new LinkedHashMap<>();
        one.put("id", other.type().id());
        one.put("name", other.type().shortName());
        one.put("points", other.score());
        others.add(one);
      }
      map.put("runnersUp", others);
    }
    return map;
  }

  private Map<String, Object> jsonConfig() {
    Map<String, Object> map = new LinkedHashMap<>();
    map.put("hex", HexFormat.of().formatHex(probe.config()));
    Map<String, Object> fields = new LinkedHashMap<>();
    if (probe.type() != null) {
      for (ConfigDecoder.Value value : values()) {
        if (value.present()) {
          fields.put(value.name(), value.numeric() ? new BigInteger(value.text()) : value.text());
        }
      }
    }
    map.put("fields", fields);
    return map;
  }
}
