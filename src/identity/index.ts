// src/identity/index.ts — who are the nodes, and what are they allowed to do?
export {
  type Certificate,
  checkCertificate,
  type DecodedCertificate,
  decodeCertificate,
  encodeCertificate,
  ROLES,
  type Role,
} from './certificate.ts'
export {
  type Cluster,
  createCluster,
  type EnrolOptions,
  enrol,
  type NodeIdentity,
} from './enrolment.ts'
export { type FolderLock, lockFolder } from './folder-lock.ts'
export { checkGrant, type DecodedGrant, decodeGrant, encodeGrant, type Grant } from './grant.ts'
export { type KeyPair, keyPairFrom, loadOrCreateKeyPair } from './key-pair.ts'
export { makeFolder } from './make-folder.ts'
