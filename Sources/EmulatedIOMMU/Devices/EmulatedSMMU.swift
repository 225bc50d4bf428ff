import IOMMU
import IOMMUObjects
import SMMUv3

/// One emulated SMMUv3 with the driver that owns it.
package final class EmulatedSMMU {
    /// What the topology says of it.
    package let description: SMMUDescription
    /// The device: registers, queues, walks, caches.
    package let smmu: SMMU<MachineMemory>
    /// The software that programs it.
    package let driver: SMMUDriver
    /// The devices behind it.
    package let engine: DMAEngine

    /// As clients call it.
    package var name: String { description.name }

    /// Brings the device up: the driver has probed it and enabled translation on return.
    init(
        _ description: SMMUDescription, machine: Machine, pages: any PageSource, caches: CacheGeometry,
        executor: any WorkExecutor
    ) throws(IOMMUError) {
        self.description = description
        do {
            smmu = try SMMU(
                memory: machine.memory, identification: try Identification(description), geometry: caches)
        } catch {
            throw IOMMUError(
                .EINVAL, .smmuNotModelled,
                "SMMU \(description.name) cannot have \(error.field) = \(hexadecimal(UInt64(error.value))): "
                    + error.explanation,
                hint: "change what the topology says of this SMMU",
                ["smmu": .text(description.name), "field": .text(error.field)]
            )
        }
        let driver = try SMMUDriver(name: description.name, smmu: smmu, pages: pages)
        self.driver = driver
        engine = DMAEngine(smmu: smmu, machine: machine, executor: executor) { [unowned driver] in driver.service() }
    }
}
