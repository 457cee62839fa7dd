// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.File;
import java.io.IOException;
import java.lang.module.ModuleDescriptor;
import java.lang.module.ModuleDescriptor.Requires;
import java.lang.module.ModuleFinder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Holds the arrows of docs/architecture.md against the modules themselves. */
class ArchitectureTest {
  private static final String HOUSE = "io.jvirtio.";
  private static final Path ROOT = Path.of("").toAbsolutePath().getParent();

  // A device never sees a transport, and a transport never sees a device type.
  @ParameterizedTest
  @CsvSource({
    "core, ''",
    "linux, core",
    "transport, core",
    "vhost, core linux",
    "qtest, core linux transport",
    "vfio, core linux transport",
    "devices, core",
    "drivers, core",
    "backends, devices linux",
  })
  void aModuleUsesOnlyWhatStandsBelowIt(String module, String below) {
    ModuleDescriptor descriptor = descriptor(module);
    Set<String> used =
        descriptor.requires().stream()
            .map(Requires::name)
            .filter(name -> name.startsWith(HOUSE))
            .map(name -> name.substring(HOUSE.length()))
            .collect(Collectors.toSet());
    assertEquals(below.isEmpty() ? Set.of() : Set.of(below.split(" ")), used);
  }

  /** A module that the command does not use is on the class path of its tests. */
  private static ModuleDescriptor descriptor(String module) {
    Optional<Module> used = ModuleLayer.boot().findModule(HOUSE + module);
    if (used.isPresent()) {
      return used.get().getDescriptor();
    }
    Path[] classPath =
        Stream.of(System.getProperty("java.class.path").split(File.pathSeparator))
            .filter(entry -> entry.contains("jvirtio-" + module))
            .map(Path::of)
            .toArray(Path[]::new);
    return ModuleFinder.of(classPath).find(HOUSE + module).orElseThrow().descriptor();
  }

  @Test
  void librariesDependOnTheJdkAlone() {
    for (String module :
        List.of(
            "core",
            "linux",
            "transport",
            "vhost",
            "qtest",
            "vfio",
            "devices",
            "drivers",
            "backends")) {
      for (Requires requires : descriptor(module).requires()) {
        String name = requires.name();
        assertTrue(
            name.startsWith(HOUSE) || name.startsWith("java.") || name.startsWith("jdk."),
            module + " requires " + name);
      }
    }
  }

  @Test
  void onlyTheLinuxModuleCallsNativeCode() throws IOException {
    try (Stream<Path> files = Files.walk(ROOT)) {
      List<Path> sources =
          files
              .filter(file -> file.toString().endsWith(".java"))
              .filter(file -> file.toString().contains("/src/main/"))
              .filter(file -> !file.startsWith(ROOT.resolve("jvirtio-linux")))
              .toList();
      assertFalse(sources.isEmpty());
      for (Path source : sources) {
        String text = Files.readString(source);
        for (String restricted : List.of("Linker.nativeLinker", ".reinterpret(", "System.load")) {
          assertFalse(text.contains(restricted), source + " has " + restricted);
        }
      }
    }
  }
}
