import IOMMU
import JSONRPC

/// `dma.*`: what a device reads and writes, through the whole SMMU.
func declareDMAMethods(_ methods: inout MethodTable<Service>) {
    methods.declare("dma.read", "Let a device read memory.", changesState: true) { m in
        let device = m.param("device", .id, "The device object.")
        let pasid = m.optional("pasid", .count(), "The PASID of the access; absent: none.")
        let iova = m.param("iova", .address, "First byte.")
        let length = m.param("length", .address, "Bytes, at most `limits.transfer_bytes`.")
        let timeout = m.optional("timeout_ms", .count(0...3_600_000), "End a stalled access after so long.")
        let data = m.result("data", .base64, "What the device got.")
        m.needs(.deviceDMA)
        m.refuses(.dma)
        return { call, service in
            let dma = try service.deviceDMA(call)
            return try service.access(call, dma, timeout: call[timeout]) { done throws(IOMMUError) in
                try dma.dmaRead(
                    device: call[device], pasid: call[pasid], iova: call[iova], length: call[length], completion: done)
            } write: {
                $0.set(data, $1)
            }
        }
    }

    methods.declare("dma.write", "Let a device write memory.", changesState: true) { m in
        let device = m.param("device", .id, "The device object.")
        let pasid = m.optional("pasid", .count(), "The PASID of the access; absent: none.")
        let iova = m.param("iova", .address, "First byte.")
        let data = m.param("data", .transfer, "The bytes, at most `limits.transfer_bytes`.")
        let timeout = m.optional("timeout_ms", .count(0...3_600_000), "End a stalled access after so long.")
        let written = m.result("written", .count, "Bytes written: all of them.")
        m.needs(.deviceDMA)
        m.refuses(.dma)
        return { call, service in
            let dma = try service.deviceDMA(call)
            let bytes = call[data].decoded()
            return try service.access(call, dma, timeout: call[timeout]) { done throws(IOMMUError) in
                try dma.dmaWrite(
                    device: call[device], pasid: call[pasid], iova: call[iova], bytes: bytes, completion: done)
            } write: {
                $0.set(written, $1)
            }
        }
    }
}
