// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.cli.boot;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;

/** The order in which kernel modules must be loaded, by {@code modules.dep}. Immutable. */
final class ModuleOrder {
  /** The paths that each path needs directly or not, in no order that could be relied on. */
  private final Map<String, List<String>> needs = new HashMap<>();

  private final Map<String, String> paths = new HashMap<>();

  /**
   * Reads dependencies.
   *
   * @param lines {@code path: path path...}, relative to the folder of modules.dep
   * @throws IllegalArgumentException for a line that is not like that
   */
  ModuleOrder(List<String> lines) {
    for (String line : lines) {
      if (line.isBlank()) {
        continue;
      }
      int colon = line.indexOf(':');
      if (colon < 0) {
        throw new IllegalArgumentException("modules.dep has a line without a colon: " + line);
      }
      String path = line.substring(0, colon).strip();
      String rest = line.substring(colon + 1).strip();
      needs.put(path, rest.isEmpty() ? List.of() : List.of(rest.split("\\s+")));
      paths.put(name(path), path);
    }
  }

  /** Reads {@code modules.dep} of a folder {@code lib/modules/VERSION}. */
  static ModuleOrder of(Path folder) throws IOException {
    return new ModuleOrder(Files.readAllLines(folder.resolve("modules.dep")));
  }

  /**
   * The modules to load for these and what they need, each once, each behind all that it needs.
   * Modules that are unknown are left out: they are part of the kernel, or not wanted.
   *
   * @param names with - or _, which mean the same
   * @return paths as modules.dep has them
   * @throws IllegalArgumentException when modules need each other in a circle
   */
  List<String> load(List<String> names) {
    Set<String> order = new LinkedHashSet<>();
    for (String name : names) {
      String path = paths.get(name.replace('-', '_'));
      if (path != null) {
        visit(path, order, new LinkedHashSet<>());
      }
    }
    return new ArrayList<>(order);
  }

  private void visit(String path, Set<String> order, Set<String> above) {
    if (order.contains(path)) {
      return;
    }
    if (!above.add(path)) {
      throw new IllegalArgumentException("modules need each other: " + above);
    }
    for (String need : needs.getOrDefault(path, List.of())) {
      visit(need, order, above);
    }
    above.remove(path);
    order.add(path);
  }

  private static String name(String path) {
    String file = path.substring(path.lastIndexOf('/') + 1);
    int dot = file.indexOf(".ko");
    return (dot < 0 ? file : file.substring(0, dot)).replace('-', '_');
  }
}
