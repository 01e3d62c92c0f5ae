package org.iommuemu.harness;

import static com.tngtech.archunit.lang.syntax.ArchRuleDefinition.noClasses;
import static com.tngtech.archunit.library.Architectures.layeredArchitecture;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.tngtech.archunit.core.domain.JavaClass;
import com.tngtech.archunit.core.domain.JavaClasses;
import com.tngtech.archunit.core.importer.ImportOption;
import com.tngtech.archunit.junit.AnalyzeClasses;
import com.tngtech.archunit.junit.ArchTest;
import com.tngtech.archunit.lang.ArchRule;
import com.tngtech.archunit.library.dependencies.SlicesRuleDefinition;

/** The arrows between modules, docs/design.md. */
@AnalyzeClasses(packages = "org.iommuemu", importOptions = ImportOption.DoNotIncludeTests.class)
class ArrowsTest {
    /** A driver has a bus address and an interrupt number, as on a board; it never holds a model. */
    @ArchTest
    static final ArchRule softwareNeverReachesAModel = noClasses()
            .that()
            .resideInAnyPackage("org.iommuemu.probe..", "org.iommuemu.nativecode..")
            .should()
            .dependOnClassesThat()
            .resideInAnyPackage("org.iommuemu.smmuv3..", "org.iommuemu.ipmmu..", "org.iommuemu.harness..");

    /** A model never knows who programs it. */
    @ArchTest
    static final ArchRule modelsNeverReachSoftware = noClasses()
            .that()
            .resideInAnyPackage("org.iommuemu.smmuv3..", "org.iommuemu.ipmmu..")
            .should()
            .dependOnClassesThat()
            .resideInAnyPackage("org.iommuemu.probe..", "org.iommuemu.nativecode..", "org.iommuemu.harness..");

    @ArchTest
    static final ArchRule modulesUseOnlyWhatIsBelowThem = layeredArchitecture()
            .consideringOnlyDependenciesInLayers()
            .layer("mmio")
            .definedBy("org.iommuemu.mmio..")
            .layer("page-tables")
            .definedBy("org.iommuemu.pagetables..")
            .layer("smmu-v3")
            .definedBy("org.iommuemu.smmuv3..")
            .layer("ipmmu-vmsa")
            .definedBy("org.iommuemu.ipmmu..")
            .layer("probe")
            .definedBy("org.iommuemu.probe..")
            .layer("native")
            .definedBy("org.iommuemu.nativecode..")
            .layer("harness")
            .definedBy("org.iommuemu.harness..")
            .whereLayer("mmio")
            .mayNotAccessAnyLayer()
            .whereLayer("page-tables")
            .mayOnlyAccessLayers("mmio")
            .whereLayer("smmu-v3")
            .mayOnlyAccessLayers("mmio", "page-tables")
            .whereLayer("ipmmu-vmsa")
            .mayOnlyAccessLayers("mmio", "page-tables")
            .whereLayer("probe")
            .mayOnlyAccessLayers("mmio", "page-tables")
            .whereLayer("native")
            .mayOnlyAccessLayers("mmio", "page-tables", "probe");

    /** Drivers share the framework and nothing else. */
    @ArchTest
    static final ArchRule driversDoNotKnowEachOther = SlicesRuleDefinition.slices()
            .matching("org.iommuemu.probe.driver.(*)..")
            .should()
            .notDependOnEachOther();

    /** Otherwise the rules above would hold for nothing. */
    @ArchTest
    static void everyModuleIsLookedAt(JavaClasses classes) {
        for (String module : new String[] {"mmio", "pagetables", "smmuv3", "ipmmu", "probe", "nativecode", "harness"}) {
            assertTrue(
                    classes.stream()
                            .map(JavaClass::getPackageName)
                            .anyMatch(name -> name.startsWith("org.iommuemu." + module)),
                    module);
        }
    }
}
