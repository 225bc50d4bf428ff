import IOMMU

/// What an iommufd has, in words that can be compared with what somebody believes to be there.
extension FakeState {
    func description(of context: Int32) -> String {
        let objects = contexts[context]?.objects ?? [:]
        return objects.sorted { $0.key < $1.key }.compactMap { text(of: $0.value, $0.key) }.joined(separator: ", ")
    }

    private func text(of object: Object, _ id: UInt32) -> String? {
        switch object {
        case .ioas(let ioas):
            let mappings = ioas.mappings.sorted { $0.start < $1.start }.map { " \($0.start)...\($0.last)" }
            return "ioas \(id)\(mappings.joined())"
        case .hwpt: return "hwpt \(id)"
        case .device(let file):
            let attached = (files[file]?.attachments ?? [:]).sorted { $0.key < $1.key }
            return "device \(id)\(attached.map { " \($0.key):\($0.value)" }.joined())"
        case .fault: return "fault \(id)"
        case .viommu: return "viommu \(id)"
        case .vdevice: return "vdevice \(id)"
        case .veventq: return "veventq \(id)"
        case .tombstone: return nil
        }
    }
}
