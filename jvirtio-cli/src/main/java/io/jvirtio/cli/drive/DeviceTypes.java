// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.cli.drive;

import io.jvirtio.spec.DeviceType;
import java.util.Locale;
import java.util.stream.Collectors;
import picocli.CommandLine.ITypeConverter;
import picocli.CommandLine.TypeConversionException;

/** Device types as people name them: {@code blk}, {@code virtio-blk} or the number 2. */
final class DeviceTypes implements ITypeConverter<DeviceType> {
  /** For picocli. */
  DeviceTypes() {}

  @Override
  public DeviceType convert(String text) {
    String name = text.toLowerCase(Locale.ROOT).replaceFirst("^virtio-", "");
    DeviceType type =
        name.matches("\\d{1,3}") ? DeviceType.of(Integer.parseInt(name)) : DeviceType.named(name);
    if (type == null) {
      String known =
          DeviceType.specified().stream()
              .map(DeviceType::shortName)
              .collect(Collectors.joining(", "));
      throw new TypeConversionException(
          "'" + text + "' is no device type; name its number, or one of " + known);
    }
    return type;
  }
}
