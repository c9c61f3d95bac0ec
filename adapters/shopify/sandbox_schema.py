"""The part of the Admin GraphQL API 2026-10 that our own operations need, in our own words: types, and who may say @idempotent."""

from __future__ import annotations

from functools import cache

from graphql import GraphQLSchema, build_schema

IDEMPOTENT = frozenset(
    (
        "inventoryActivate", "inventoryAdjustQuantities", "inventoryMoveQuantities", "inventorySetOnHandQuantities",
        "inventorySetQuantities", "inventoryShipmentAddItems", "inventoryShipmentCreate",
        "inventoryShipmentCreateInTransit", "inventoryShipmentReceive", "inventoryTransferCreate",
        "inventoryTransferCreateAsReadyToShip", "inventoryTransferDuplicate", "inventoryTransferSetItems",
        "locationActivate", "locationDeactivate", "refundCreate",
    )
)  # fmt: skip
"""The mutations that take the directive, and that must have it; no other does."""

_SDL = """
directive @idempotent(key: String!) on FIELD
scalar DateTime
scalar URL
scalar Decimal
scalar Money
scalar UnsignedInt64
scalar CountryCode
scalar CurrencyCode

enum OrderSortKeys { CREATED_AT ID PROCESSED_AT UPDATED_AT }
enum OrderCreateInputsInventoryBehavior { BYPASS DECREMENT_IGNORING_POLICY DECREMENT_OBEYING_POLICY }
enum OrderCreateFinancialStatus { PAID PENDING }
enum OrderCreateFulfillmentStatus { FULFILLED PARTIAL RESTOCKED }
enum OrderTransactionKind { SALE }
enum OrderTransactionStatus { SUCCESS }
enum OrderCancelReason { CUSTOMER DECLINED FRAUD INVENTORY OTHER STAFF }
enum FulfillmentStatus { CANCELLED ERROR FAILURE OPEN PENDING SUCCESS }
enum MetafieldOwnerType { ORDER PRODUCT }
enum BulkOperationStatus { CANCELED CANCELING COMPLETED CREATED EXPIRED FAILED RUNNING }

interface Node { id: ID! }
type PageInfo { hasNextPage: Boolean! endCursor: String }
type MoneyV2 { amount: Decimal! currencyCode: CurrencyCode! }
type MoneyBag { shopMoney: MoneyV2! }
type Attribute { key: String! value: String }
type Metafield { value: String! }
type UserError { field: [String!] message: String! }
type CodedError { field: [String!] message: String! code: String }

type Order implements Node {
  id: ID! sourceIdentifier: String poNumber: String cancelledAt: DateTime
  currencyCode: CurrencyCode! currentSubtotalLineItemsQuantity: Int!
  totalPriceSet: MoneyBag! currentTotalPriceSet: MoneyBag!
  customAttributes: [Attribute!]!
  metafield(namespace: String, key: String!): Metafield
  cancellation: OrderCancellation
  refunds(first: Int): [Refund!]!
  returns(first: Int, after: String): ReturnConnection!
  fulfillments(first: Int): [Fulfillment!]!
  lineItems(first: Int, after: String): LineItemConnection!
}
type OrderCancellation { staffNote: String }
type Refund implements Node {
  id: ID! totalRefundedSet: MoneyBag! refundLineItems(first: Int, after: String): RefundLineItemConnection!
}
type RefundLineItem { quantity: Int! }
type RefundLineItemConnection { nodes: [RefundLineItem!]! pageInfo: PageInfo! }
enum ReturnStatus { CANCELED CLOSED DECLINED OPEN REQUESTED }
type Return implements Node { id: ID! status: ReturnStatus! totalQuantity: Int! }
type ReturnConnection { nodes: [Return!]! pageInfo: PageInfo! }
type OrderConnection { nodes: [Order!]! pageInfo: PageInfo! }
type LineItem implements Node {
  id: ID! quantity: Int! currentQuantity: Int! customAttributes: [Attribute!]! variant: ProductVariant
}
type LineItemConnection { nodes: [LineItem!]! pageInfo: PageInfo! }
type Fulfillment implements Node {
  id: ID! status: FulfillmentStatus! createdAt: DateTime! updatedAt: DateTime!
  trackingInfo(first: Int): [FulfillmentTrackingInfo!]!
  fulfillmentLineItems(first: Int, after: String): FulfillmentLineItemConnection!
}
type FulfillmentTrackingInfo { company: String number: String url: URL }
type FulfillmentLineItem { quantity: Int lineItem: LineItem! }
type FulfillmentLineItemConnection { nodes: [FulfillmentLineItem!]! pageInfo: PageInfo! }
type ProductVariant implements Node { id: ID! sku: String price: Money! inventoryItem: InventoryItem! }
type ProductVariantConnection { nodes: [ProductVariant!]! edges: [ProductVariantEdge!]! pageInfo: PageInfo! }
type ProductVariantEdge { node: ProductVariant! }
type InventoryItem implements Node {
  id: ID! tracked: Boolean!
  inventoryLevels(first: Int, after: String): InventoryLevelConnection!
}
type InventoryLevelConnection { nodes: [InventoryLevel!]! edges: [InventoryLevelEdge!]! pageInfo: PageInfo! }
type InventoryLevelEdge { node: InventoryLevel! }
type InventoryLevel implements Node {
  id: ID! location: Location! quantities(names: [String!]!): [InventoryQuantity!]!
}
type InventoryQuantity { name: String! quantity: Int! }
type Location implements Node { id: ID! }
type Job { id: ID! done: Boolean! }
type BulkOperation implements Node {
  id: ID! status: BulkOperationStatus! errorCode: String objectCount: UnsignedInt64! url: URL
}
type AppInstallation { accessScopes: [AccessScope!]! }
type AccessScope { handle: String! }
type Shop { currencyCode: CurrencyCode! plan: ShopPlan! }
type ShopPlan { partnerDevelopment: Boolean! }
type MetafieldDefinition { id: ID! type: MetafieldDefinitionType! capabilities: MetafieldCapabilities! }
type MetafieldDefinitionType { name: String! }
type MetafieldCapabilities { uniqueValues: MetafieldCapabilityUniqueValues! }
type MetafieldCapabilityUniqueValues { enabled: Boolean! }
type CalculatedOrder implements Node { id: ID! lineItems(first: Int, after: String): CalculatedLineItemConnection! }
type CalculatedLineItem { id: ID! quantity: Int! customAttributes: [Attribute!]! }
type CalculatedLineItemConnection { nodes: [CalculatedLineItem!]! pageInfo: PageInfo! }
type InventoryAdjustmentGroup { id: ID! }

input MoneyInput { amount: Decimal! currencyCode: CurrencyCode! }
input MoneyBagInput { shopMoney: MoneyInput! }
input OrderCreateTaxLineInput { title: String! rate: Decimal! priceSet: MoneyBagInput channelLiable: Boolean = false }
input OrderCreateLineItemPropertyInput { name: String! value: String! }
input OrderCreateCustomAttributeInput { key: String! value: String! }
input OrderCreateLineItemInput {
  variantId: ID quantity: Int! priceSet: MoneyBagInput taxLines: [OrderCreateTaxLineInput!]
  requiresShipping: Boolean = false taxable: Boolean = true properties: [OrderCreateLineItemPropertyInput!]
}
input OrderCreateShippingLineInput { title: String! priceSet: MoneyBagInput! taxLines: [OrderCreateTaxLineInput!] }
input OrderCreateOrderTransactionInput {
  amountSet: MoneyBagInput! gateway: String kind: OrderTransactionKind = SALE status: OrderTransactionStatus = SUCCESS
}
input OrderCreateFixedDiscountCodeAttributesInput { code: String! amountSet: MoneyBagInput }
input OrderCreateDiscountCodeInput { itemFixedDiscountCode: OrderCreateFixedDiscountCodeAttributesInput }
input MetafieldInput { namespace: String key: String type: String value: String }
input MailingAddressInput {
  firstName: String lastName: String company: String address1: String address2: String city: String zip: String
  countryCode: CountryCode province: String provinceCode: String phone: String
}
input OrderCreateOrderInput {
  currency: CurrencyCode taxesIncluded: Boolean = false sourceIdentifier: String poNumber: String processedAt: DateTime
  tags: [String!] customAttributes: [OrderCreateCustomAttributeInput!] metafields: [MetafieldInput!]
  lineItems: [OrderCreateLineItemInput!] shippingLines: [OrderCreateShippingLineInput!]
  financialStatus: OrderCreateFinancialStatus transactions: [OrderCreateOrderTransactionInput!]
  billingAddress: MailingAddressInput shippingAddress: MailingAddressInput
  discountCode: OrderCreateDiscountCodeInput fulfillmentStatus: OrderCreateFulfillmentStatus
}
input OrderCreateOptionsInput {
  inventoryBehaviour: OrderCreateInputsInventoryBehavior = BYPASS
  sendReceipt: Boolean = false sendFulfillmentReceipt: Boolean = false
}
input OrderInput { id: ID! metafields: [MetafieldInput!] shippingAddress: MailingAddressInput }
input OrderCancelRefundMethodInput { originalPaymentMethodsRefund: Boolean }
input UniqueMetafieldValueInput { namespace: String key: String! value: String! }
input OrderIdentifierInput { id: ID customId: UniqueMetafieldValueInput }
input MetafieldDefinitionIdentifierInput { ownerType: MetafieldOwnerType! namespace: String key: String! }
input InventoryChangeInput { delta: Int! inventoryItemId: ID! locationId: ID! changeFromQuantity: Int }
input InventoryAdjustQuantitiesInput { name: String! reason: String! changes: [InventoryChangeInput!]! }

type OrderCreatePayload { order: Order userErrors: [CodedError!]! }
type OrderCancelPayload { job: Job orderCancelUserErrors: [CodedError!]! }
type OrderEditBeginPayload { calculatedOrder: CalculatedOrder userErrors: [UserError!]! }
type OrderEditSetQuantityPayload { calculatedLineItem: CalculatedLineItem userErrors: [UserError!]! }
type OrderEditCommitPayload { order: Order userErrors: [UserError!]! }
type OrderUpdatePayload { order: Order userErrors: [UserError!]! }
type BulkOperationRunQueryPayload { bulkOperation: BulkOperation userErrors: [CodedError!]! }
type InventoryAdjustQuantitiesPayload { inventoryAdjustmentGroup: InventoryAdjustmentGroup userErrors: [CodedError!]! }

type QueryRoot {
  order(id: ID!): Order
  orderByIdentifier(identifier: OrderIdentifierInput!): Order
  orders(first: Int, after: String, query: String, sortKey: OrderSortKeys): OrderConnection!
  nodes(ids: [ID!]!): [Node]!
  fulfillment(id: ID!): Fulfillment
  job(id: ID!): Job
  productVariants(first: Int, after: String, query: String): ProductVariantConnection!
  bulkOperation(id: ID!): BulkOperation
  currentAppInstallation: AppInstallation!
  shop: Shop!
  metafieldDefinition(identifier: MetafieldDefinitionIdentifierInput): MetafieldDefinition
}
type Mutation {
  orderCreate(order: OrderCreateOrderInput!, options: OrderCreateOptionsInput): OrderCreatePayload
  orderCancel(
    orderId: ID!, reason: OrderCancelReason!, restock: Boolean!, notifyCustomer: Boolean,
    refundMethod: OrderCancelRefundMethodInput, staffNote: String
  ): OrderCancelPayload
  orderEditBegin(id: ID!): OrderEditBeginPayload
  orderEditSetQuantity(id: ID!, lineItemId: ID!, quantity: Int!, restock: Boolean): OrderEditSetQuantityPayload
  orderEditCommit(id: ID!, notifyCustomer: Boolean, staffNote: String): OrderEditCommitPayload
  orderUpdate(input: OrderInput!): OrderUpdatePayload
  bulkOperationRunQuery(query: String!): BulkOperationRunQueryPayload
  inventoryAdjustQuantities(input: InventoryAdjustQuantitiesInput!): InventoryAdjustQuantitiesPayload
}
schema { query: QueryRoot mutation: Mutation }
"""


@cache
def schema() -> GraphQLSchema:
    return build_schema(_SDL)
